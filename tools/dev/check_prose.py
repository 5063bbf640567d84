# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check the wording of docstrings, comments, messages, help texts and docs.

  python tools/dev/check_prose.py
  # some files or folders only
  python tools/dev/check_prose.py swahr_mmpose/codecs README.md

Reports, one line each, documented arguments and option texts that begin with a
bare genitive ("Of the augmentations"), and words for which CONTRIBUTING.md
names a standard term. The exit status is 1 where there is one.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ['swahr_mmpose', 'tools', 'configs', 'docs', 'tests', 'setup.py']
PLACES += ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', '.github']
# Word: standard term.
TERMS = {
    r'pictures?': 'image, or figure for a plot',
    r'data sets?': 'dataset',
    r'whole or not at all|written whole|as a whole': 'atomic, complete',
    r'cut short': 'truncated',
    r'no numbers?(?= |,|\.|;)': 'NaN, not finite, not a number',
    r'parted': 'split',
    r'mend(s|ed|ing)?': 'fix',
    r'tells?|told': 'report',
    r'officially': 'in the official implementation',
    r'mirrored (view|image)s?|mirror images?': 'horizontally flipped image',
    r'between cells': 'bilinear interpolation',
    r'top of the parabola': 'sub-pixel refinement',
    r'farness|farther': 'distance, larger distance',
    r'drawn (people|beetles)': 'synthetic people',
    r'links?(?= of the skeleton| between keypoints)': 'skeleton edges',
    r'kept for the way back': 'saved for backward',
    r'stacks': 'tested environments',
    r'by turns': 'interleaved',
    r'outlines?': 'segmentation, polygon',
    r'by hand': 'manually',
    r'anew': 'again',
    r'nobody|somebody': 'no instance, an instance',
    r'asks? for': 'requires, requests',
    r'stands? in the way': 'prevents',
}
WORDS = re.compile(
    '|'.join(rf'(?P<w{n}>\b(?:{word})\b)' for n, word in enumerate(TERMS)),
    re.IGNORECASE,
)
ARGUMENT = re.compile(r'^ +\**\w+(?: \([^)]*\))?: (?P<text>\w+)', re.MULTILINE)
GENITIVE = {'Of', 'Its', 'Those', 'That', 'As', 'With', 'Whose', 'Where'}


def parse_args():
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'paths', nargs='*', help='files and folders (default: the repository)'
    )
    return parser.parse_args()


def find_files(paths):
    """Python and Markdown files, without build outputs."""
    for path in map(Path, paths):
        files = sorted(path.rglob('*')) if path.is_dir() else [path]
        for file in files:
            hidden = {'_build', '__pycache__', '.mim', 'golden'}
            if file.suffix in ('.py', '.md') and not hidden & set(file.parts):
                if file.resolve() != Path(__file__).resolve():
                    yield file


def find_words(text, line):
    """Words with a standard term, as (line, message)."""
    for found in WORDS.finditer(text):
        term = list(TERMS.values())[int(found.lastgroup[1:])]
        at = line + text.count('\n', 0, found.start())
        yield at, f'{found.group()!r}: write {term}'


def find_docstrings(tree):
    """Docstrings with the lines on which they begin."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node):
            text = node.body[0].value
            yield text.lineno, text.value


def find_genitives(tree):
    """Documented arguments and option texts that begin with a genitive."""
    for line, text in find_docstrings(tree):
        for section in re.split(r'\n *(?:Returns|Raises|Yields):', text)[:1]:
            _, _, arguments = section.partition('Args:')
            begin = line + text[: len(section) - len(arguments)].count('\n')
            for found in ARGUMENT.finditer(arguments):
                if found['text'] in GENITIVE:
                    at = begin + arguments.count('\n', 0, found.start('text'))
                    yield at, f'argument text begins with {found["text"]!r}'
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == 'help':
            value = node.value
            text = value.value if isinstance(value, ast.Constant) else ''
            first = str(text).split(' ')[0].capitalize()
            if first in GENITIVE:
                yield value.lineno, f'option text begins with {first!r}'


def check_python(path):
    """Problems of a Python file, as (line, message)."""
    source = path.read_text(encoding='utf-8')
    yield from find_genitives(ast.parse(source))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        sentence = token.type == tokenize.STRING and ' ' in token.string
        if token.type == tokenize.COMMENT or sentence:
            yield from find_words(token.string, token.start[0])


def check_markdown(path):
    """Problems of a Markdown file outside of code, as (line, message)."""
    text = path.read_text(encoding='utf-8')
    plain = re.sub(
        r'```.*?```|`[^`\n]*`|\]\([^)]*\)|<[^>\n]*>',
        lambda m: re.sub(r'[^\n]', ' ', m.group()),
        text,
        flags=re.DOTALL,
    )
    yield from find_words(plain, 1)
    for at, line in enumerate(plain.splitlines(), 1):
        # Code is blank in `plain`; a table row cannot be broken.
        if len(line.rstrip()) > 120 and not line.startswith('|'):
            yield at, f'{len(line)} columns: write at most 120'


def main():
    """Report problems; exit with 1 where there are any."""
    args = parse_args()
    places = args.paths or [ROOT / p for p in PLACES if (ROOT / p).exists()]
    count = 0
    for path in find_files(places):
        check = check_python if path.suffix == '.py' else check_markdown
        for line, message in sorted(set(check(path))):
            print(f'{path}:{line}: {message}')
            count += 1
    sys.exit(f'{count} problems of wording' if count else 0)


if __name__ == '__main__':
    main()

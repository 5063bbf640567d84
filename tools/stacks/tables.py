# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Results of the matrix as tables in docs/stacks.md and the README.

docs/stacks.json holds the results of which the tables are made.
"""

import json
import re

__all__ = ['DOCUMENTS', 'documents', 'merge', 'write']

BEGIN, END = '<!-- table of stacks -->', '<!-- end of stacks -->'
RESULTS = 'docs/stacks.json'
REMARKS = ('why', 'note')  # of a row; what is run does not depend on them
TITLES = ['Python', 'torch', 'torchvision', 'NumPy', 'OpenCV', 'SciPy', 'mmcv']
TITLES += ['doctor', 'passed', 'failed', 'skipped', 'seconds', 'notes']
SHORT = ['Python', 'torch', 'NumPy', 'OpenCV', 'mmcv', 'fast tests']
OPENCV = ['opencv-python-headless', 'opencv-python']


def row(cells):
    """A line of a Markdown table."""
    return '| ' + ' | '.join(map(str, cells)) + ' |'


def first(versions, *names):
    """Version of the first of the distributions that is there."""
    found = [versions[name] for name in names if name in versions]
    return found[0] if found else ''


def mmcv(versions):
    """Which mmcv, and its version."""
    for name in ('mmcv', 'mmcv-lite'):
        if name in versions:
            return f'{name} {versions[name]}'
    return ''


def cells(result):
    """What both tables show of a result, by title."""
    healthy = result.get('doctor', {}).get('can_train')
    versions, tests = result.get('packages', {}), result.get('tests')
    shown = dict(
        Python=result['python'],
        torch=first(versions, 'torch'),
        torchvision=first(versions, 'torchvision'),
        NumPy=first(versions, 'numpy'),
        OpenCV=first(versions, *OPENCV),
        SciPy=first(versions, 'scipy'),
        mmcv=mmcv(versions),
        doctor='can train' if healthy else 'cannot train',
    )
    if tests is None:
        return dict(shown, **{'fast tests': 'not installed'})
    counts = dict(
        passed=tests['passed'],
        failed=len(tests['failed']),
        skipped=tests['skipped'],
        seconds=tests['seconds'],
    )
    parts = [f'{counts[k]} {k}' for k in ('passed', 'failed', 'skipped')]
    return dict(shown, **counts, **{'fast tests': ', '.join(parts)})


def remarks(result, note):
    """What is to be said of a row below the table: lines."""
    doctor, tests = result.get('doctor', {}), result.get('tests', {})
    lines = [note] if note else []
    if 'failed_step' in result:
        lines.append(f'Not installed: `{result["failed_step"][:400]}`')
    for severity in ('errors', 'warnings'):
        for text in doctor.get(severity, ()):
            lines.append(f'doctor, {severity[:-1]}: {text}')
    for name, said in tests.get('failed', {}).items():
        lines.append(f'failed: `{name}`: `{said}`')
    return lines


def full_table(results, rows):
    """The table of docs/stacks.md, and what is to be said below it."""
    lines = [row(TITLES), row(['---'] * len(TITLES))]
    notes = []
    for name, result in results.items():
        shown = cells(result)
        said = remarks(result, rows[name].get('note'))
        if said:
            shown['notes'] = f'({len(notes) + 1})'
            points = ''.join(f'\n  * {line}' for line in said)
            about = f'`{name}`, {rows[name]["why"]}'
            notes.append(f'\n{shown["notes"]} {about}:\n{points}')
        lines.append(row([shown.get(title, '') for title in TITLES]))
    missing = [f'`{name}`' for name in rows if name not in results]
    if missing:
        notes.append(f'\nWithout a result so far: {", ".join(missing)}.')
    return '\n'.join(lines + notes)


def short_table(results, rows):
    """The table of the README."""
    lines = [row(SHORT), row(['---'] * len(SHORT))]
    for result in results.values():
        shown = cells(result)
        lines.append(row([shown.get(title, '') for title in SHORT]))
    return '\n'.join(lines)


DOCUMENTS = {'docs/stacks.md': full_table, 'README.md': short_table}


def merge(old, folder, rows):
    """Results in the order of the rows: the old ones, then a folder's.

    A result of a row that is defined otherwise by now is left out.
    """
    merged = {}
    for name, definition in rows.items():
        result = old.get(name)
        path = folder / f'{name}.json'
        if path.is_file():
            result = json.loads(path.read_text())
        if result and matches(result['asked'], definition):
            merged[name] = result
    return merged


def matches(asked, definition):
    """Whether a result is of the row as it is defined now."""
    about = {k: v for k, v in definition.items() if k not in REMARKS}
    python = about.pop('python')
    same = all(asked.get(key) == value for key, value in about.items())
    return same and asked['python'].startswith(f'{python}.')


def documents(root, results, rows):
    """Path to text, as the documents are to be."""
    texts = {}
    for name, make in DOCUMENTS.items():
        text = (root / name).read_text(encoding='utf-8')
        table = f'{BEGIN}\n{make(results, rows)}\n{END}'
        pattern = re.compile(f'{BEGIN}.*{END}', re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f'{name} has no lines {BEGIN} and {END}')
        texts[root / name] = pattern.sub(lambda _, t=table: t, text)
    return texts


def write(root, folder, rows):
    """Put the results of a folder into the documents."""
    path = root / RESULTS
    old = json.loads(path.read_text()) if path.exists() else {}
    results = merge(old, folder, rows)
    path.write_text(json.dumps(results, indent=1) + '\n')
    for place, text in documents(root, results, rows).items():
        place.write_text(text, encoding='utf-8')
        print(f'wrote {place.relative_to(root)}')

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Configuration of Sphinx; build with ``bash tools/dev/build_docs.sh``."""

import os
import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

ROOT = Path(__file__).resolve().parent.parent
project = 'swahr_mmpose'
author = copyright = 'swahr_mmpose contributors'  # noqa: A001
release = version = re.search(
    r"__version__ = '(.+?)'", (ROOT / 'swahr_mmpose/__init__.py').read_text()
).group(1)

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
    'sphinx_design',
]
myst_enable_extensions = ['colon_fence']
exclude_patterns = ['_build', '_templates']
templates_path = ['_templates']
myst_heading_anchors = 3

# One page per module, in api/generated, from _templates/autosummary.
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_typehints_format = 'fully-qualified'
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 79
python_use_unqualified_type_names = True
add_module_names = False

html_theme = 'furo'
html_title = 'swahr_mmpose'
html_static_path = ['_static']
html_css_files = ['tables.css']
copybutton_exclude = '.linenos, .gp, .go'

# Files outside of this folder, such as configs: in the repository where its
# address is known, else in the checkout.
REPOSITORY = os.environ.get('SWAHR_REPOSITORY_URL', '').rstrip('/')
FILES = f'{REPOSITORY}/blob/main' if REPOSITORY else ROOT.as_uri()
if REPOSITORY:
    html_theme_options = dict(
        source_repository=REPOSITORY,
        source_branch='main',
        source_directory='docs/',
    )


def link_to_repository(app, doctree):
    """Link to files of the repository, which MyST would copy as downloads."""
    folder = Path(app.env.docname).parent
    for node in list(doctree.findall(addnodes.download_reference)):
        # Relative to docs/: ../configs/...
        path = Path(os.path.normpath(folder / node['reftarget']))
        if path.parts[0] != '..':
            continue  # a file of this folder, which the site holds
        uri = f'{FILES}/{path.relative_to("..").as_posix()}'
        node.replace_self(nodes.reference('', '', *node.children, refuri=uri))


def skip_field(app, what, name, obj, skip, options):
    """Skip fields of named tuples, which have a generated docstring only."""
    docstring = getattr(obj, '__doc__', None) or ''
    return docstring.startswith('Alias for field number') or None


def find_class(word, module):
    """Full name of a class in the namespace of a module or its siblings."""
    package = module.rpartition('.')[0]
    siblings = [n for n in sorted(sys.modules) if n.startswith(f'{package}.')]
    for name in (module, *siblings):
        found = getattr(sys.modules[name], word, None)
        if getattr(found, '__module__', '').startswith('swahr_mmpose.'):
            return f'~{found.__module__}.{found.__qualname__}'
    return word


def qualify_references(app, what, name, obj, options, lines):
    """Write the full names of classes and functions of the same package.

    Codecs and the ONNX runtime have classes and functions of equal names,
    between which Sphinx cannot choose.
    """
    module = name
    while module and module not in sys.modules:
        module = module.rpartition('.')[0]
    package = module.rpartition('.')[0]

    def qualify_role(match):
        known = f'{package}.{match[1]}' in sys.modules
        if not known:
            return match[0]
        # A module alone keeps its short name in the text.
        return (
            f'`{package}.{match[1]}.'
            if match[2] == '.'
            else f'`~{package}.{match[1]}`'
        )

    for number, line in enumerate(lines):
        if line.lstrip().startswith((':type', ':rtype')):
            head, colon, types = line.lstrip()[1:].partition(':')
            types = re.sub(
                r'\b[A-Z]\w+', lambda m: find_class(m[0], module), types
            )
            indent = line[: len(line) - len(line.lstrip())]
            line = f'{indent}:{head}{colon}{types}'
        lines[number] = re.sub(r'`\.(\w+)([.`])', qualify_role, line)


def setup(app):
    """Connect the event handlers."""
    # Before Sphinx collects the downloads.
    app.connect('doctree-read', link_to_repository, priority=100)
    app.connect('autodoc-skip-member', skip_field)
    app.connect('autodoc-process-docstring', qualify_references, priority=900)

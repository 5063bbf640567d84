# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Sphinx: bash tools/dev/build_docs.sh."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
project = 'swahr_mmpose'
author = copyright = 'swahr_mmpose contributors'  # noqa: A001
release = version = re.search(
    r"__version__ = '(.+?)'", (ROOT / 'swahr_mmpose/__init__.py').read_text()
).group(1)

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
exclude_patterns = ['_build']
myst_heading_anchors = 3
autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # docstrings have the types, with shapes

html_theme = 'furo'
html_title = 'swahr_mmpose'

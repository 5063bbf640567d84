# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""No warnings of other packages that no user can act upon."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from typing import Iterator

__all__ = ['ignore_warnings_of_others', 'import_quietly']

# Names of modules that are not of this package.
_OTHERS = r'(?!swahr_mmpose\b)'


def ignore_warnings_of_others() -> None:
    """Print warnings of this package only, from now on.

    Python's option ``-W`` and ``PYTHONWARNINGS`` take precedence.
    """
    if not sys.warnoptions:
        warnings.filterwarnings('ignore', module=_OTHERS)
        warnings.filterwarnings('default', module=r'swahr_mmpose\b')


@contextmanager
def import_quietly() -> Iterator[None]:
    """Ignore warnings of other packages within the context.

    mmengine 0.10 imports ``pkg_resources``, which warns. Python's option
    ``-W`` and ``PYTHONWARNINGS`` take precedence.
    """
    if sys.warnoptions:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', module=_OTHERS)
        yield

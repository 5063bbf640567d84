# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Location of ``configs`` and ``tools`` in a checkout or installed wheel."""

from __future__ import annotations

from pathlib import Path

__all__ = ['find_resource']

PACKAGE = Path(__file__).resolve().parents[1]


def find_resource(name: str) -> Path:
    """Find a folder of the repository.

    Args:
        name (str): Name of the folder, ``'configs'`` or ``'tools'``.

    Returns:
        Path: The folder beside the package (checkout), or in
        ``swahr_mmpose/.mim`` (wheel).

    Raises:
        FileNotFoundError: If it is in neither place.
    """
    places = [PACKAGE.parent, PACKAGE / '.mim']
    for place in places:
        if (place / name).is_dir() and (place / 'model-index.yml').is_file():
            return place / name
    raise FileNotFoundError(
        f'folder {name!r} is in neither of {[str(p) for p in places]}; '
        'install swahr_mmpose again'
    )

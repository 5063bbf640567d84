# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Who can be drawn."""

from __future__ import annotations

from typing import Callable, List, NamedTuple

from numpy.random import Generator

from .beetles import BEETLE_NAMES, BEETLE_SKELETON, draw_beetle
from .canvas import Person
from .people import draw_person
from .records import KEYPOINT_NAMES, SKELETON


class Kind(NamedTuple):
    """A kind of figure, and what COCO's format says of it.

    ``draw`` takes a random generator, a height or length in px and a grey
    from 0 to 1; ``crowds`` is whether some pictures show a crowd.
    """

    category: str
    keypoints: List[str]
    skeleton: List[List[int]]
    draw: Callable[[Generator, float, float], Person]
    crowds: bool


KINDS = {
    'people': Kind('person', KEYPOINT_NAMES, SKELETON, draw_person, True),
    'beetles': Kind(
        'beetle', BEETLE_NAMES, BEETLE_SKELETON, draw_beetle, False
    ),
}

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What a synthetic data set is made of."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Callable, List, NamedTuple, Tuple

from numpy.random import Generator

from .beetles import BEETLE_NAMES, BEETLE_SKELETON, draw_beetle
from .canvas import Person
from .coco_records import KEYPOINT_NAMES, SKELETON
from .people import draw_person

MIN_HEIGHT_LIMIT = 16  # px; in smaller people the joints share one pixel


@dataclass(frozen=True)
class SyntheticConfig:
    """The arguments that shape a data set, checked."""

    num_train: int = 256
    num_val: int = 48
    image_size: Tuple[int, int] = (448, 360)
    min_height: int = 32
    max_height: int = 340
    seed: int = 0
    kind: str = 'people'
    bare: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError with what was got, expected, and the remedy."""
        object.__setattr__(self, 'image_size', tuple(self.image_size))
        low, high, size = self.min_height, self.max_height, self.image_size
        counts = self.num_train, self.num_val, self.seed
        for holds, message in (
            (
                all(isinstance(v, Integral) and v >= 0 for v in counts),
                f'num_train, num_val and seed are {counts}, expected whole '
                'numbers from 0 on; pass such',
            ),
            (
                len(size) == 2 and all(isinstance(v, Integral) for v in size),
                f'image_size is {size}, expected two whole numbers; pass '
                '(width, height) in px',
            ),
            (
                MIN_HEIGHT_LIMIT <= low <= high <= size[-1],
                f'min_height is {low} and max_height {high}, expected '
                f'{MIN_HEIGHT_LIMIT} <= min_height <= max_height <= '
                f'{size[-1]}, the height of the pictures; change them or '
                'image_size',
            ),
            (
                self.kind in KINDS,
                f'kind is {self.kind!r}, expected one of {sorted(KINDS)}; '
                'pass one of them',
            ),
        ):
            if not holds:
                raise ValueError(message)


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

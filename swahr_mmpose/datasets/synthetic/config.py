# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Kinds of instances and settings of a synthetic dataset."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Callable, Iterator, List, NamedTuple, Sequence, Tuple

from numpy.random import Generator

from .beetles import BEETLE_NAMES, BEETLE_SIGMAS, BEETLE_SKELETON, draw_beetle
from .canvas import Person
from .clothed_people import draw_clothed_person
from .coco_records import COCO_SIGMAS, KEYPOINT_NAMES, SKELETON
from .people import draw_person

_MIN_HEIGHT = 16  # px; in smaller people the joints share one pixel
# Probabilities of one to six people.
PEOPLE_ODDS = (0.15, 0.2, 0.2, 0.2, 0.15, 0.1)


class Kind(NamedTuple):
    """Kind of instances in a synthetic dataset.

    Attributes:
        category (str): Name of the COCO category.
        keypoints (list[str]): Names of the K keypoints.
        skeleton (list[list[int]]): One-based skeleton edges.
        sigmas (Sequence[float]): Constants sigma_k of OKS.
        draw (Callable): Function that draws an instance, given a random
            number generator, a height or length in px and a brightness from 0
            to 1.
        crowds (bool): Whether some images contain a crowd.
    """

    category: str
    keypoints: List[str]
    skeleton: List[List[int]]
    sigmas: Sequence[float]
    draw: Callable[[Generator, float, float], Person]
    crowds: bool


KINDS = {
    'people': Kind(
        'person', KEYPOINT_NAMES, SKELETON, COCO_SIGMAS, draw_person, True
    ),
    'clothed_people': Kind(
        'person',
        KEYPOINT_NAMES,
        SKELETON,
        COCO_SIGMAS,
        draw_clothed_person,
        True,
    ),
    'beetles': Kind(
        'beetle',
        BEETLE_NAMES,
        BEETLE_SKELETON,
        BEETLE_SIGMAS,
        draw_beetle,
        False,
    ),
}


@dataclass(frozen=True)
class SyntheticConfig:
    """Settings of a synthetic dataset.

    Args:
        num_train (int): Number of training images. Defaults to 256.
        num_val (int): Number of validation images. Defaults to 48.
        image_size (tuple[int, int]): ``(width, height)`` of the images in px.
            Defaults to (448, 360).
        min_height (int): Minimum height of a standing person, or length of a
            beetle, in px. Defaults to 32.
        max_height (int): Maximum height or length in px. Defaults to 340.
        seed (int): Seed of the random number generator. Defaults to 0.
        kind (str): Kind of instances: ``'people'`` with coloured markers on
            the joints, ``'clothed_people'`` or ``'beetles'``. Defaults to
            ``'people'``.
        bare (bool): Whether to annotate keypoints only. Defaults to False.
        annotation_noise (float): Standard deviation of the annotated
            keypoints of the training set in x and in y, relative to the
            ``sigma_k * sqrt(area)`` of OKS. Defaults to 0.
        small_difficulty (float): Loss of contrast and sharpness of small
            people, 0 to 1. Defaults to 0.
        max_people (int): Maximum number of instances of an image, 1 to 6.
            Defaults to 6.

    Raises:
        ValueError: If an argument is out of its range.
    """

    num_train: int = 256
    num_val: int = 48
    image_size: Tuple[int, int] = (448, 360)
    min_height: int = 32
    max_height: int = 340
    seed: int = 0
    kind: str = 'people'
    bare: bool = False
    annotation_noise: float = 0.0
    small_difficulty: float = 0.0
    max_people: int = len(PEOPLE_ODDS)

    def __post_init__(self) -> None:
        """Check the arguments."""
        object.__setattr__(self, 'image_size', tuple(self.image_size))
        for valid, message in (*self._check_sizes(), *self._check_people()):
            if not valid:
                raise ValueError(message)

    def _check_sizes(self) -> Iterator[Tuple[bool, str]]:
        """Yield whether numbers and sizes of images are valid, and errors."""
        low, high, size = self.min_height, self.max_height, self.image_size
        counts = self.num_train, self.num_val, self.seed
        yield from (
            (
                all(isinstance(v, Integral) and v >= 0 for v in counts),
                f'got num_train, num_val and seed {counts}, expected integers '
                'of at least 0',
            ),
            (
                len(size) == 2 and all(isinstance(v, Integral) for v in size),
                f'got image_size {size}, expected two integers: (width, '
                'height) in px',
            ),
            (
                _MIN_HEIGHT <= low <= high <= size[-1],
                f'got min_height {low} and max_height {high}, expected '
                f'{_MIN_HEIGHT} <= min_height <= max_height <= '
                f'{size[-1]}, the height of the images; change them or '
                'image_size',
            ),
        )

    def _check_people(self) -> Iterator[Tuple[bool, str]]:
        """Yield whether settings of the people are valid, and errors."""
        yield from (
            (
                self.kind in KINDS,
                f'got kind {self.kind!r}, expected one of {sorted(KINDS)}',
            ),
            (
                self.annotation_noise >= 0,
                f'got annotation_noise {self.annotation_noise}, expected a '
                'factor of at least 0',
            ),
            (
                0 <= self.small_difficulty <= 1,
                f'got small_difficulty {self.small_difficulty}, expected 0 '
                'to 1',
            ),
            (
                isinstance(self.max_people, Integral)
                and 1 <= self.max_people <= len(PEOPLE_ODDS),
                f'got max_people {self.max_people}, expected an integer from '
                f'1 to {len(PEOPLE_ODDS)}',
            ),
        )

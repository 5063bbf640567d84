# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What a COCO file holds, and what it means for training and its metric.

N instances, K keypoints; sizes in pixels of the image unless they are told in
cells of the coarse maps, 1/4 of the input.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

import numpy as np

from .skeleton import OwnSkeleton

__all__ = ['Contents', 'advise', 'contents_of', 'input_side_for', 'report']

# Longer sides of instances below that are hard to find and to tell apart: a
# Gaussian is 4 cells wide (twice sigma), and keypoints share cells.
FEW_CELLS = 8
LARGEST_SIDE = 1024
COCO_SIZES = dict(small=(0, 32**2), medium=(32**2, 96**2), large=(96**2, 1e10))
COUNTED = 20  # instances of an image that COCO's metric looks at
SELDOM = 0.05  # share of instances


class Contents(NamedTuple):
    """What a completed COCO file holds, crowds and unlabelled left out.

    ``num_empty`` images are without such instances, ``num_bare`` without any
    annotation; ``most`` is the largest number of instances in an image.
    ``keypoints`` (N, K, 3); ``sides`` (N,), the longer side of each box;
    ``short_sides`` (N,), of the image that it is in; ``areas`` (N,);
    ``stray`` counts labelled keypoints outside their image, ``at_zero`` those
    at (0, 0).
    """

    num_images: int
    num_empty: int
    num_bare: int
    most: int
    keypoints: np.ndarray
    sides: np.ndarray
    short_sides: np.ndarray
    areas: np.ndarray
    stray: int
    at_zero: int


def report(
    name: str,
    skeleton: OwnSkeleton,
    held: Sequence[Contents],
    filled: Sequence[str],
    input_side: int,
) -> List[str]:
    """What the data set holds and what was decided, as lines.

    Args:
        name (str): Of the data set.
        skeleton (OwnSkeleton): Of its instances.
        held (Sequence[Contents]): Of training and validation.
        filled (Sequence[str]): What was filled in.
        input_side (int): Of the network's input.
    """
    lines = [
        f'{name}: {len(skeleton.names)} keypoints, {len(skeleton.links)} links'
    ]
    lines += [
        f'{split}: {c.num_images} images, {c.num_empty} without instance; '
        f'{len(c.sides)} instances, at most {c.most} in an image'
        for split, c in zip(('train', 'val'), held)
    ]
    lines += ['', 'filled in', *(f'  {line}' for line in filled)]
    lines += ['', 'keypoints, in the order of grouping']
    lines += [f'  {line}' for line in skeleton.table()]
    lines += [f'  sigmas: {skeleton.sigmas_from}; AP depends on them']
    pairs = ' '.join(skeleton.pair_words())
    lines += ['', f'mirror pairs: {pairs or "none"}']
    lines += [
        '  images are mirrored in training, and both views averaged in testing'
        if skeleton.flip
        else '  nothing is mirrored, neither in training nor in testing'
    ]
    sizes = size_lines(held[0], input_side)
    lines += ['', 'sizes', *(f'  {line}' for line in sizes)]
    advice = advise(held[0], held[1], skeleton.names, input_side)
    return lines + ['', 'advice', *(f'  * {a}' for a in advice or ['none'])]


def contents_of(content: Dict[str, Any], num_keypoints: int) -> Contents:
    """Read a file that :func:`complete_annotations` completed.

    Args:
        content (dict): A parsed COCO file.
        num_keypoints (int): K.
    """
    images = {image['id']: image for image in content['images']}
    people = [
        a
        for a in content['annotations']
        if a['num_keypoints'] and not a['iscrowd'] and a['image_id'] in images
    ]
    counts = Counter(a['image_id'] for a in people)
    keypoints = np.array([a['keypoints'] for a in people], float)
    keypoints = keypoints.reshape(len(people), num_keypoints, 3)
    sizes = np.array(
        [
            [images[a['image_id']][k] for k in ('width', 'height')]
            for a in people
        ]
    ).reshape(-1, 2)
    seen = keypoints[..., 2] > 0
    points = keypoints[..., :2]
    outside = (points < 0) | (points >= sizes[:, None])
    boxes = np.array([a['bbox'][2:] for a in people], float).reshape(-1, 2)
    return Contents(
        num_images=len(images),
        num_empty=len(images) - len(counts),
        num_bare=len(
            set(images) - {a['image_id'] for a in content['annotations']}
        ),
        most=max(counts.values(), default=0),
        keypoints=keypoints,
        sides=boxes.max(axis=1),
        short_sides=sizes.min(axis=1),
        areas=np.array([a['area'] for a in people], float),
        stray=int((outside.any(axis=-1) & seen).sum()),
        at_zero=int(((points == 0).all(axis=-1) & seen).sum()),
    )


def _cells(contents: Contents, input_side: int) -> np.ndarray:
    """Longer sides (N,) in cells of 1/4 of the input, in testing."""
    return contents.sides * input_side / contents.short_sides / 4


def input_side_for(contents: Contents) -> int:
    """The input size at which nine instances in ten have 8 cells or more.

    Args:
        contents (Contents): Of the training file, N > 0.

    Returns:
        int: A multiple of 64, however large.
    """
    needed = FEW_CELLS / _cells(contents, 1)
    return 64 * math.ceil(float(np.quantile(needed, 0.9)) / 64 - 1e-9)


def size_lines(contents: Contents, input_side: int) -> List[str]:
    """How large instances are, in pixels and in cells.

    Args:
        contents (Contents): N > 0.
        input_side (int): Of the network's input.
    """
    shares = 'smallest', '10 %', 'median', '90 %', 'largest'
    lines = []
    for what, values in (
        ('px of the image', contents.sides),
        (f'cells at 1/4 of {input_side}', _cells(contents, input_side)),
    ):
        table = np.quantile(values, [0, 0.1, 0.5, 0.9, 1])
        told = ', '.join(f'{s} {v:.0f}' for s, v in zip(shares, table))
        lines.append(f'longer side of boxes, {what}: {told}')
    return lines


def advise(
    train: Contents, val: Contents, names: Sequence[str], input_side: int
) -> List[str]:
    """What is unusual, and what to do about it.

    Args:
        train (Contents): Of the training file.
        val (Contents): Of the validation file.
        names (Sequence[str]): Of the K keypoints.
        input_side (int): Of the network's input.

    Returns:
        list[str]: A sentence or two each; empty where nothing is.
    """
    return [
        *_about_size(train, input_side),
        *_about_labels(train, names),
        *_about_images(train, val),
        *_about_metric(val),
    ]


def _about_size(train: Contents, input_side: int) -> Iterator[str]:
    if not len(train.sides):
        return
    small = float((_cells(train, input_side) < FEW_CELLS).mean())
    if small <= 0.1:
        return
    wanted = input_side_for(train)
    remedy = f'take --input-size {wanted}'
    if wanted > LARGEST_SIDE:
        remedy = f'cut images into tiles (it would take an input of {wanted})'
    yield (
        f'{small:.0%} of the instances are smaller than {FEW_CELLS} cells at '
        f'1/4 of the input, where keypoints run into each other: {remedy}'
    )


def _about_labels(train: Contents, names: Sequence[str]) -> Iterator[str]:
    frequency = (
        (train.keypoints[..., 2] > 0).mean(axis=0)
        if len(train.keypoints)
        else np.zeros(len(names))
    )
    never = [n for n, f in zip(names, frequency) if f == 0]
    seldom = [n for n, f in zip(names, frequency) if 0 < f < SELDOM]
    if never:
        yield f'never labelled, so never learned: {", ".join(never)}'
    if seldom:
        yield f'labelled in under {SELDOM:.0%}: {", ".join(seldom)}'
    single = int(((train.keypoints[..., 2] > 0).sum(axis=1) == 1).sum())
    if single:
        yield (
            f'{single} instances have one labelled keypoint: nothing is '
            'grouped with it, and its size is a guess'
        )
    if train.at_zero:
        yield (
            f'{train.at_zero} keypoints are labelled at (0, 0): if they are '
            'missing ones, their v must be 0'
        )
    if train.stray:
        yield (
            f'{train.stray} labelled keypoints are outside their image: are '
            'sizes and coordinates in pixels of the same image?'
        )


def _about_images(train: Contents, val: Contents) -> Iterator[str]:
    if train.num_images < 100:
        yield (
            f'{train.num_images} images are few: expect to learn them by heart'
        )
    if train.num_bare:
        yield (
            f'{train.num_bare} images without annotation: MMPose leaves '
            'them out of training; --keep-empty takes them as background'
        )
    most = max(train.most, val.most)
    if most > COUNTED:
        yield (
            f"up to {most} instances in an image: COCO's metric counts the "
            f'{COUNTED} with the best scores'
        )


def _about_metric(val: Contents) -> Iterator[str]:
    if not len(val.areas):
        yield 'no instance to test on: every AP will be -1, which is no value'
        return
    counts = {
        name: int(((val.areas >= low) & (val.areas < high)).sum())
        for name, (low, high) in COCO_SIZES.items()
    }
    for name in ('medium', 'large'):
        if not counts[name]:
            yield (
                f'no instance of {name} area to test on: '
                f'AP ({name[0].upper()}) will be -1, which is no value'
            )
    if counts['small']:
        yield (
            f'{counts["small"]} of {len(val.areas)} instances to test on '
            'have areas below 32^2 px: they count in AP, but neither in AP '
            '(M) nor in AP (L)'
        )

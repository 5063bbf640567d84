# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Plausibility of annotations that are formally valid.

Compares area, box, keypoints, image size and file names over all people.  A
finding is an error only if training or evaluation would be wrong; otherwise
it is a warning.  N people, K keypoints.
"""

from __future__ import annotations

import posixpath
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

import numpy as np

from .annotations import format_name, select_records
from .boxes import find_box_format
from .people import People, collect_people
from .text import escape, short

__all__ = ['Finding', 'find_implausible']

# Share of people from which on a finding concerns the file, not a person.
_MOST = 0.5
# Number of people from which on a statistic of all is meaningful.
_ENOUGH = 20
# Range of area / (box width * box height); segmentations of people in COCO
# cover about half of their box.
_AREA_RATIOS = (0.02, 1.3)


class Finding(NamedTuple):
    """Implausible property of an annotation file.

    Attributes:
        message (str): Count, example, likely cause and remedy.
        stops (bool): Whether training or evaluation would be wrong.
    """

    message: str
    stops: bool


def find_implausible(
    content: Any, num_keypoints: int, uses_area: bool
) -> List[Finding]:
    """Find implausible annotations.

    Args:
        content: Parsed annotation file; invalid records are skipped.
        num_keypoints (int): Keypoints per person, K.
        uses_area (bool): Whether the metric compares distances with ``area``,
            as that of COCO.

    Returns:
        list[Finding]: Findings.
    """
    findings = [_check_repeated_files(content)]
    people = collect_people(content, num_keypoints)
    if people is not None:
        findings += _check_people(people, uses_area)
    return [finding for finding in findings if finding]


def _check_people(people: People, uses_area: bool) -> List[Optional[Finding]]:
    """Check visibilities, then the coordinates of labelled people."""
    findings = [
        _check_visibility(people),
        _check_hidden_coordinates(people),
        _check_keypoint_counts(people),
    ]
    labelled = people.select(people.labelled.any(axis=1))
    if not labelled.records:
        return findings
    normalised = _check_normalised(labelled)
    if normalised:  # explains all that follows
        return [*findings, normalised]
    return [
        *findings,
        _check_outside(labelled),
        _check_scale(labelled),
        _check_box_format(labelled),
        _check_area(labelled, uses_area),
    ]


def _count(
    people: People, mask: np.ndarray, show: Callable[[int], str]
) -> str:
    """Format how many people a mask selects, and the first one."""
    first = int(np.flatnonzero(mask)[0])
    return (
        f'{int(mask.sum())} of {len(mask)} annotations, e.g. '
        f'{people.name(first)} ({show(first)})'
    )


def _check_visibility(people: People) -> Optional[Finding]:
    """Check that v is 0, 1 or 2."""
    wrong = ~np.isin(people.keypoints[..., 2], (0, 1, 2))
    mask = wrong.any(axis=1)
    if not mask.any():
        return None

    def show(n: int) -> str:
        return f'v = {people.keypoints[n, wrong[n], 2][0]:g}'

    return Finding(
        f'v is not 0, 1 or 2 in {_count(people, mask, show)}; are these '
        'scores? Every keypoint with v > 0 is learned: write 2 for visible, '
        '1 for occluded, 0 for not labelled',
        stops=False,
    )


def _check_hidden_coordinates(people: People) -> Optional[Finding]:
    """Check for coordinates of keypoints with v = 0, which are not learned."""
    xy, v = people.keypoints[..., :2], people.keypoints[..., 2]
    hidden = (v == 0) & (xy != 0).any(axis=2)
    if not hidden.any():
        return None
    only_hidden = hidden.any(axis=1) & (v == 0).all(axis=1)
    stops = bool(only_hidden.mean() > _MOST)

    def show(n: int) -> str:
        return f'{int(hidden[n].sum())} keypoints'

    return Finding(
        f'v is 0, not labelled, but x and y are given in '
        f'{_count(people, hidden.any(axis=1), show)}; such keypoints are not '
        'learned. If they are occluded, write v = 1; if they are not in the '
        'image, write x = y = 0',
        stops,
    )


def _check_keypoint_counts(people: People) -> Optional[Finding]:
    """Check for num_keypoints of 0 beside labelled keypoints."""
    counts = np.array(
        [np.nan if r.get('num_keypoints') is None else r['num_keypoints']
         for r in people.records], np.float64,
    )  # fmt: skip
    labelled = people.labelled.sum(axis=1)
    mask = (counts == 0) != (labelled == 0)
    mask &= ~np.isnan(counts)
    # CrowdPose counts visible keypoints only, so that some have none.
    if mask.mean() <= 0.1:
        return None

    def show(n: int) -> str:
        return f'num_keypoints {counts[n]:g}, {labelled[n]} with v > 0'

    return Finding(
        f'num_keypoints does not fit in {_count(people, mask, show)}; the '
        'metric ignores people with num_keypoints 0, and the loss masks them. '
        'Write the number of keypoints with v > 0',
        stops=False,
    )


def _get_extent(people: People) -> np.ndarray:
    """Compute (x1, y1, x2, y2) of the labelled keypoints, shape (N, 4)."""
    xy = people.keypoints[..., :2]
    hidden = ~people.labelled[..., None]
    low = np.where(hidden, np.inf, xy).min(axis=1)
    high = np.where(hidden, -np.inf, xy).max(axis=1)
    return np.concatenate([low, high], axis=1)


def _format_point(people: People, n: int) -> str:
    """Format the first labelled keypoint of a person, and the image size."""
    x, y = people.keypoints[n, people.labelled[n], :2][0]
    w, h = people.sizes[n]
    return f'x = {x:g}, y = {y:g} in an image of {w:g} x {h:g}'


def _check_normalised(people: People) -> Optional[Finding]:
    """Check for coordinates from 0 to 1."""
    extent = _get_extent(people)
    mask = (np.abs(extent) <= 1.001).all(axis=1)
    mask &= (people.sizes > 16).all(axis=1)
    if mask.mean() <= _MOST:
        return None
    return Finding(
        'coordinates are between 0 and 1 in '
        f'{_count(people, mask, lambda n: _format_point(people, n))}; they '
        'seem to be fractions of the image size. Multiply x by the width and '
        'y by the height of the image, in keypoints, bbox and segmentation; '
        'area by both',
        stops=True,
    )


def _check_outside(people: People) -> Optional[Finding]:
    """Check for labelled keypoints that are not in the image."""
    xy, labelled = people.keypoints[..., :2], people.labelled
    outside = _find_outside(xy, people.sizes) & labelled
    share = outside.sum() / labelled.sum()
    if share <= 0.02:
        return None
    swapped = _find_outside(xy[..., ::-1], people.sizes) & labelled
    cause = (
        'are they annotated on an image of another size, or rotated by its '
        'EXIF orientation?'
    )
    if swapped.sum() < 0.1 * outside.sum():
        cause = 'they fit with x and y exchanged; write (x, y, v).'
    mask = outside.any(axis=1)

    def show(n: int) -> str:
        x, y = xy[n, outside[n]][0]
        w, h = people.sizes[n]
        return f'x = {x:g}, y = {y:g} in an image of {w:g} x {h:g}'

    return Finding(
        f'{share:.0%} of the labelled keypoints are outside of their image, '
        f'in {_count(people, mask, show)}; {cause} Keypoints outside are not '
        'learned',
        stops=bool(share > _MOST),
    )


def _find_outside(xy: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Find points outside of their images, bool (N, K)."""
    low, high = xy < -1, xy > sizes[:, None] + 1
    return (low | high).any(axis=2)


def _check_scale(people: People) -> Optional[Finding]:
    """Check for people who are all in the upper left of their images."""
    extent = _get_extent(people)
    reach = (extent[:, 2:] / np.maximum(people.sizes, 1)).max(axis=0)
    if len(extent) < _ENOUGH or reach.max() > _MOST:
        return None
    return Finding(
        f'all {len(extent)} people are in the upper left of their images, '
        f'left of {reach[0]:.0%} of the width and above {reach[1]:.0%} of the '
        f'height, e.g. {people.name(0)} ({_format_point(people, 0)}); are '
        'coordinates those of a smaller copy of the images, or in percent? '
        'Scale them to width and height',
        stops=False,
    )


def _check_box_format(people: People) -> Optional[Finding]:
    """Check whether boxes fit the keypoints in another format than ours."""
    full = people.select(people.labelled.sum(axis=1) >= 3)
    if not full.records:
        return None
    mask, name = find_box_format(full.boxes, _get_extent(full))
    if name is None:
        return None

    def show(n: int) -> str:
        x1, y1, x2, y2 = _get_extent(full)[n]
        return (
            f'bbox {short(full.records[n]["bbox"])}, keypoints from x = '
            f'{x1:g}, y = {y1:g} to x = {x2:g}, y = {y2:g}'
        )

    return Finding(
        f'boxes seem to be {name} in {_count(full, mask, show)}; write (x, '
        'y, w, h) with the upper left corner. Boxes give the scale of people '
        'and, without area, the tolerance of the metric',
        stops=True,
    )


def _check_area(people: People, uses_area: bool) -> Optional[Finding]:
    """Check the area against the box."""
    box_area = people.boxes[:, 2] * people.boxes[:, 3]
    known = ~np.isnan(people.areas) & (box_area > 4)
    ratio = people.areas / np.maximum(box_area, 1)
    low, high = _AREA_RATIOS
    mask = known & ((ratio < low) | (ratio > high))
    if not known.any() or mask.sum() <= 0.1 * known.sum():
        return None

    def show(n: int) -> str:
        w, h = people.boxes[n, 2:]
        return f'area {people.areas[n]:g}, box of {w:g} x {h:g}'

    use = 'the AP would be wrong, because' if uses_area else 'note that'
    return Finding(
        f'area does not fit the box in {_count(people, mask, show)}; is it a '
        f'placeholder, or in another unit? It is in square pixels, and {use} '
        'the metric of COCO allows errors of keypoints in proportion to its '
        'root. Write the area of the segmentation, or remove it and let '
        'new_dataset fill it in',
        stops=bool(uses_area and mask.sum() > _MOST * known.sum()),
    )


def _check_repeated_files(content: Any) -> Optional[Finding]:
    """Check for several records of one image file."""
    records: Dict[str, List[dict]] = {}
    for image in select_records(content, 'images'):
        name = image.get('file_name')
        if isinstance(name, str):
            records.setdefault(posixpath.normpath(name), []).append(image)
    repeated = {n: same for n, same in records.items() if len(same) > 1}
    if not repeated:
        return None
    name, same = next(iter(repeated.items()))
    examples = ' and '.join(format_name('image', i) for i in same[:2])
    differ = _have_different_people(content, repeated)
    effect = (
        'in each record the people of the others are learned as background. '
        'Write one record per file and set the image_id of all its people'
        if differ
        else 'with equal annotations; they only count more than once'
    )
    return Finding(
        f'{len(repeated)} of {len(records)} image files have several records '
        f"in images, e.g. '{escape(name)}' ({examples}); {effect}",
        stops=differ,
    )


def _have_different_people(
    content: Any, repeated: Dict[str, List[dict]]
) -> bool:
    """Return whether records of one file have different keypoints."""
    people: Dict[str, List[str]] = {}
    for record in select_records(content, 'annotations'):
        key = str(record.get('image_id'))
        people.setdefault(key, []).append(str(record.get('keypoints')))

    def get_sets(same: List[dict]) -> Iterator[tuple]:
        for image in same:
            yield tuple(sorted(people.get(str(image.get('id')), [])))

    return any(len(set(get_sets(same))) > 1 for same in repeated.values())

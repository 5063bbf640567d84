# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Fill missing keypoints by the mean tags of their people.

A missing keypoint is placed at the cell that maximises the objective
``heatmap - round(|tag - mean_tag|)``, where ``mean_tag`` is that of its
person; at the first one in row-major order, as in the official
implementation.

The search begins in the blocks above the threshold of the block-max index.
All blocks are searched only where the best objective there does not
exceed the threshold.  Maps in which few blocks can be skipped, such as noise,
are searched in the order of their tags.

P people, K keypoints, L tag dimensions, map size H x W, G missing keypoints
(queries), M selected blocks.
"""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from swahr_mmpose.utils.tensor_ops import enlarge

from .block_max import BLOCK_SIZE, BlockMax, split_into_blocks
from .block_search import BestCells, BlockSelection, search_blocks
from .grouping import People
from .tag_search import search_by_tags

__all__ = [
    'MissingKeypoints',
    'fill_missing_keypoints',
    'find_missing',
    'place_missing',
]

# Maximum number of bounds (queries x blocks of a map) for which the keypoints
# of an image are searched together, and for which a map is searched by rows.
_MAX_JOINT_BOUNDS = 1 << 20
_MAX_BOUNDS = 1 << 18
# Maximum number of pairs of a query and a block that the search by tags reads
# in an image, 67 million cells.  Noise stays far below.
_MAX_TAG_PAIRS = 1 << 19


def fill_missing_keypoints(
    people: People, heatmaps: Tensor, tags: Tensor, blocks: BlockMax
) -> People:
    """Place each missing keypoint at the best cell for its person.

    A keypoint stays missing if the heatmap is not positive at that cell, or
    if no cell has a finite tag distance to the mean tag of the person.  Tags
    of filled keypoints stay 0.

    Args:
        people (People): Result of :func:`.grouping.group_by_tags`; not
            modified.
        heatmaps (Tensor): float32, shape (K, H, W).
        tags (Tensor): float32, shape (L, K, h, w); where smaller than the
            heatmaps, enlarged bilinearly.
        blocks (BlockMax): Block-max index of the heatmaps.

    Returns:
        People: People with filled cells and scores.
    """
    missing = find_missing(people)
    if not len(missing.keypoint):
        return people
    maps = _ImageMaps(heatmaps, tags, blocks)
    best = _search_image(maps, missing.keypoint, missing.means)
    index = best.blocks * BLOCK_SIZE + best.columns
    filled = (best.values > 0) & (best.objectives > -np.inf)
    y, x = np.divmod(index, blocks.width)
    return place_missing(
        people, missing, np.stack([x, y], axis=-1), best.values, filled
    )


class MissingKeypoints(NamedTuple):
    """Missing keypoints of one image, ordered by keypoint, then by person.

    ``keypoint`` and ``person`` are int64 (G,), ``means`` the float32 mean tags
    of the people, (G, L).
    """

    keypoint: np.ndarray
    person: np.ndarray
    means: np.ndarray


def find_missing(people: People) -> MissingKeypoints:
    """Find the missing keypoints of people with at least one keypoint."""
    found = people.scores > 0
    keypoint, person = (found.any(axis=1) & ~found.T).nonzero()
    means = _compute_mean_tags(people)[person]
    return MissingKeypoints(keypoint, person, means)


def place_missing(
    people: People,
    missing: MissingKeypoints,
    cells: np.ndarray,
    values: np.ndarray,
    filled: np.ndarray,
) -> People:
    """Place missing keypoints.

    Args:
        people (People): People; not modified.
        missing (MissingKeypoints): G missing keypoints.
        cells (np.ndarray): Their cells ``(x, y)``, int64 (G, 2).
        values (np.ndarray): The heatmap there, float32 (G,).
        filled (np.ndarray): Which ones are placed, bool (G,).

    Returns:
        People: People with filled cells and scores.
    """
    all_cells, scores = people.cells.copy(), people.scores.copy()
    target = missing.person[filled], missing.keypoint[filled]
    all_cells[target] = cells[filled]
    scores[target] = values[filled]
    return People(all_cells, scores, people.tags)


def _compute_mean_tags(people: People) -> np.ndarray:
    """Compute the mean tag of the found keypoints, float32 (P, L)."""
    found = people.scores > 0
    count = np.maximum(found.sum(axis=1), 1).astype(np.float32)[:, None]
    with np.errstate(over='ignore'):  # no cell matches an infinite mean
        return people.tags.sum(axis=1, where=found[..., None]) / count


class _ImageMaps:
    """Heatmaps and tags of one image in blocks.

    Args:
        heatmaps (Tensor): float32, shape (K, H, W).
        tags (Tensor): float32, shape (L, K, h, w).
        blocks (BlockMax): Block-max index of the heatmaps.
    """

    def __init__(
        self, heatmaps: Tensor, tags: Tensor, blocks: BlockMax
    ) -> None:
        self.blocks, self._tags = blocks, tags
        self._size = heatmaps.shape[1:]
        self.count = len(blocks.values) // len(heatmaps)  # per map
        # Buffer for the enlarged tags of one keypoint.
        self._enlarged = tags.new_empty(len(tags), *self._size)

    def count_above(self, k: int) -> int:
        """Count the blocks of keypoint ``k`` above the threshold."""
        return len(self.blocks.select_part(k, self._tags.shape[1]).above)

    def select_all(self, k: int) -> BlockSelection:
        """Select all blocks of keypoint ``k``."""
        blocks = self.blocks.select_part(k, self._tags.shape[1])
        indices = torch.arange(self.count, device=blocks.values.device)
        tags = self._enlarge_tags(k)
        return BlockSelection(
            blocks.values, blocks.maxima, indices, tags, indices, [self.count]
        )

    def select_above(
        self, keypoints: Sequence[int]
    ) -> Tuple[BlockSelection, np.ndarray]:
        """Select the blocks above the threshold of the index.

        Of a map without any, the first block, so that no map is empty.

        Args:
            keypoints (Sequence[int]): Keypoints whose maps are selected.

        Returns:
            tuple[BlockSelection, np.ndarray]: Selection, and the int64 index
            of each block within its map, shape (M,).
        """
        first = self.blocks.above.new_zeros(1)
        local = [
            self.blocks.select_part(k, self._tags.shape[1]).above
            for k in keypoints
        ]
        local = [above if len(above) else first for above in local]
        indices = torch.cat(
            [above + k * self.count for k, above in zip(keypoints, local)]
        )
        selection = BlockSelection(
            self.blocks.values,
            self.blocks.maxima,
            indices,
            *self._read_tags(keypoints, local, indices),
            np.cumsum([len(above) for above in local]).tolist(),
        )
        return selection, torch.cat(local).cpu().numpy()

    def _enlarge_tags(self, k: int) -> List[Tensor]:
        """Enlarge the tags of a keypoint, L tensors (T, 32).

        They are valid until the next call, which reuses the buffer.
        """
        enlarged = enlarge(self._tags[:, k], self._size, self._enlarged)
        return [split_into_blocks(tags) for tags in enlarged]

    def _read_tags(
        self, keypoints: Sequence[int], local: List[Tensor], indices: Tensor
    ) -> Tuple[List[Tensor], Tensor]:
        """Read the tags of blocks; see ``tags`` and ``tag_indices``."""
        if self._tags.shape[2:] == self._size:
            return [split_into_blocks(tags) for tags in self._tags], indices
        tags = self._tags.new_empty(len(self._tags), len(indices), BLOCK_SIZE)
        outputs = tags.split([len(above) for above in local], dim=1)
        for k, above, output in zip(keypoints, local, outputs):
            for tag, out in zip(self._enlarge_tags(k), output):
                torch.index_select(tag, 0, above, out=out)
        return list(tags), torch.arange(len(indices), device=tags.device)


def _search_image(
    maps: _ImageMaps, keypoint: np.ndarray, means: np.ndarray
) -> BestCells:
    """Find the best cell of each query.

    Args:
        maps (_ImageMaps): Maps of K keypoints.
        keypoint (np.ndarray): Keypoint of each query, increasing, shape (G,).
        means (np.ndarray): Mean tag of each query, float32, shape (G, L).

    Returns:
        BestCells: Cells, with blocks counted within their map.
    """
    threshold = maps.blocks.threshold
    best = _search_above(maps, keypoint, means)
    # Cells not above the threshold have no objective above it.
    remaining = best.objectives <= threshold
    for k, queries in _split_queries(keypoint, remaining):
        if len(queries) * maps.count > _MAX_BOUNDS:
            best.objectives[queries] = np.nan
            continue
        cells = search_blocks(
            maps.select_all(k), means[queries], [len(queries)]
        )
        _put(best, queries, cells)
    hard = list(_split_queries(keypoint, np.isnan(best.objectives)))
    for k, queries in hard:
        max_pairs = _MAX_TAG_PAIRS // len(hard)
        cells = _search_by_tags(maps, k, means[queries], max_pairs)
        _put(best, queries, cells)
    return best


def _split_queries(
    keypoint: np.ndarray, chosen: np.ndarray
) -> Iterator[Tuple[int, np.ndarray]]:
    """Split the chosen queries by keypoint: keypoints and int64 queries."""
    for k in np.unique(keypoint[chosen]).tolist():
        yield k, np.flatnonzero(chosen & (keypoint == k))


def _put(best: BestCells, queries: np.ndarray, cells: BestCells) -> None:
    """Write the cells of some queries into those of all queries."""
    for array, values in zip(best, cells):
        array[queries] = values


def _search_above(
    maps: _ImageMaps, keypoint: np.ndarray, means: np.ndarray
) -> BestCells:
    """Search the blocks above the threshold.

    Objectives are NaN where that would take too long.
    """
    best = BestCells(
        np.zeros(len(means), np.int64),
        np.zeros(len(means), np.int64),
        np.zeros(len(means), np.float32),
        np.full(len(means), np.nan, np.float32),
    )
    sizes = [
        (k, (keypoint == k).sum() * maps.count_above(k))
        for k in np.unique(keypoint).tolist()
    ]
    easy = [k for k, size in sizes if size <= _MAX_BOUNDS]
    # All keypoints at once, unless the matrices of bounds would be large.
    together = sum(size for _, size in sizes) <= _MAX_JOINT_BOUNDS
    for keypoints in [easy] if together and easy else [[k] for k in easy]:
        selection, local = maps.select_above(keypoints)
        queries = np.flatnonzero(np.isin(keypoint, keypoints))
        counts = [int((keypoint == k).sum()) for k in keypoints]
        cells = search_blocks(
            selection, means[queries], counts, maps.blocks.threshold
        )
        cells.blocks[:] = local[cells.blocks]
        _put(best, queries, cells)
    return best


def _search_by_tags(
    maps: _ImageMaps, k: int, means: np.ndarray, max_pairs: int
) -> BestCells:
    """Search a complete map in the order of its tags."""
    selection = maps.select_all(k)
    cells, values, objectives = search_by_tags(
        selection.values.reshape(-1).cpu().numpy(),
        [tag.reshape(-1).cpu().numpy() for tag in selection.tags],
        means,
        max_pairs,
    )
    blocks, columns = np.divmod(cells, BLOCK_SIZE)
    return BestCells(blocks, columns, values, objectives)

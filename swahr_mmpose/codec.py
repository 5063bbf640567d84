# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The codec: keypoints to targets, heatmaps and tags to people.

B images, N people, K keypoints, L tag dimensions.  Keypoints are ``(x, y)``
in pixels of the network's input, of size ``input_size = (w, h)``; targets
live on maps of ``heatmap_sizes``, coarse to fine.
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS
from torch import Tensor

from . import grouping, heatmaps, peaks

__all__ = ['ScaleAwareAssociativeEmbedding']

Size = Tuple[int, int]
Decoded = Tuple[List[np.ndarray], List[np.ndarray], List[np.ndarray]]


@KEYPOINT_CODECS.register_module()
class ScaleAwareAssociativeEmbedding(BaseKeypointCodec):
    """Multi-resolution heatmaps with associative embedding.

    The owner of every size: head, transforms and tools ask it.

    Encoded:

        - heatmaps (list[np.ndarray]): one float32 (K, h, w) per level
        - keypoint_indices (np.ndarray): int64 (N, K, 2), ``[y * w + x,
          counts]`` on the first, coarsest level

    With ``unbiased=False``, the official convention, a coordinate of the
    input is divided by the stride and truncated, a mirrored one is mirrored
    on each level by itself, and decoding adds half a cell.  With
    ``unbiased=True`` the centre of every cell is where the image says, both
    ways; ``decode(encode(keypoints))`` then returns separate keypoints to a
    hundredth of a cell.

    Args:
        input_size (tuple): Input size ``(w, h)`` in pixels.
        heatmap_sizes (Sequence[tuple]): Map sizes ``(w, h)``, coarse to fine.
        sigma (float): Standard deviation of the Gaussians in cells, the same
            on each level, sigma_0 of the paper. Defaults to 2.
        unbiased (bool): The exact convention. Defaults to ``False``.
        decode_keypoint_order (Sequence[int]): The order in which keypoints
            join people, torso first: each of 0 to K - 1 once.
        decode_nms_kernel (int): Odd window of non-maximum suppression.
        decode_keypoint_thr (float): A candidate must score more.
        decode_tag_thr (float): Tag distance from which a candidate is another
            person.
        decode_topk (int): Candidates per keypoint, and people that take part
            in the matching.
        decode_max_instances (int, optional): Keep only the people with the
            best scores. Defaults to ``None``, all.
    """

    auxiliary_encode_keys = {'flip', 'input_size'}
    field_mapping_table = dict(
        heatmaps='heatmaps', heatmap_mask='heatmap_mask'
    )
    label_mapping_table = dict(keypoint_indices='keypoint_indices')

    def __init__(
        self,
        input_size: Size,
        heatmap_sizes: Sequence[Size],
        sigma: float = 2.0,
        unbiased: bool = False,
        decode_keypoint_order: Sequence[int] = (),
        decode_nms_kernel: int = 5,
        decode_keypoint_thr: float = 0.1,
        decode_tag_thr: float = 1.0,
        decode_topk: int = 30,
        decode_max_instances: Optional[int] = None,
    ) -> None:
        super().__init__()
        self.input_size: Size = (int(input_size[0]), int(input_size[1]))
        self.heatmap_sizes: list[Size] = [
            (int(w), int(h)) for w, h in heatmap_sizes
        ]
        self.sigma = sigma
        self.unbiased = unbiased
        self.decode_keypoint_order = list(decode_keypoint_order)
        self.decode_nms_kernel = decode_nms_kernel
        self.decode_keypoint_thr = decode_keypoint_thr
        self.decode_tag_thr = decode_tag_thr
        self.decode_topk = decode_topk
        self.decode_max_instances = decode_max_instances
        self._check()

    def _check(self) -> None:
        strides = [
            (self.input_size[0] / w, self.input_size[1] / h)
            for w, h in self.heatmap_sizes
        ]
        if not strides or any(sx != sy for sx, sy in strides):
            raise ValueError(
                f'each of heatmap_sizes {self.heatmap_sizes} must be '
                f'input_size {self.input_size} divided by one stride; '
                'derive them from input_size, e.g. (w // 4, h // 4)'
            )
        if strides != sorted(strides, reverse=True):
            raise ValueError(
                f'heatmap_sizes must be increasing, got {self.heatmap_sizes}'
            )
        order = self.decode_keypoint_order
        if sorted(order) != list(range(len(order))):
            raise ValueError(
                'decode_keypoint_order must hold each of 0 to '
                f'{len(order) - 1} once, got {order}'
            )
        if self.decode_nms_kernel % 2 != 1:
            raise ValueError(
                f'decode_nms_kernel must be odd, got {self.decode_nms_kernel}'
            )
        if self.decode_keypoint_thr < 0:
            raise ValueError(
                'decode_keypoint_thr must not be negative, got '
                f'{self.decode_keypoint_thr}'
            )

    def to_cells(
        self, keypoints: np.ndarray, size: Size, flip: bool
    ) -> np.ndarray:
        """Keypoints from input pixels to cells of a map of ``size``."""
        stride = self.input_size[0] / size[0]
        points = np.asarray(keypoints, dtype=np.float64)
        if self.unbiased:
            return (points + 0.5) / stride - 0.5
        # Officially x is mirrored as w - 1 - x on each map by itself, which
        # is this much left of the mirrored input.
        shift = (1 - 1 / stride) if flip else 0.0
        return points / stride - np.array([shift, 0.0])

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: Optional[np.ndarray] = None,
        flip: Optional[bool] = None,
        input_size: Optional[Size] = None,
    ) -> dict:
        """Encode the people of one image.

        Args:
            keypoints (np.ndarray): Input pixels, shape (N, K, 2).
            keypoints_visible (np.ndarray, optional): Larger than 0 where
                labelled, shape (N, K). ``None``: all are.
            flip (bool, optional): Whether the image was mirrored.
            input_size (tuple, optional): Size of the image that was made; it
                must be that of the codec.

        Returns:
            dict: See the class.
        """
        if input_size is not None and tuple(input_size) != self.input_size:
            raise ValueError(
                f'the pipeline makes images of {tuple(input_size)}, but the '
                f'codec is for {self.input_size}; give both the same '
                'input_size (a child config must set the pipeline again when '
                'it changes the codec)'
            )
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], np.float32)
        sizes, options = self.heatmap_sizes, dict(unbiased=self.unbiased)
        cells = [self.to_cells(keypoints, s, bool(flip)) for s in sizes]
        maps = [
            heatmaps.draw_gaussians(
                c, keypoints_visible, s, self.sigma, **options
            )
            for c, s in zip(cells, sizes)
        ]
        indices = heatmaps.keypoint_indices(
            cells[0], keypoints_visible, sizes[0], **options
        )
        return dict(heatmaps=maps, keypoint_indices=indices)

    def decode(self, encoded: Tuple[Tensor, Tensor]) -> Tuple[Any, Any]:
        """Decode one image: :meth:`batch_decode` of a batch of one.

        Args:
            encoded (tuple[Tensor, Tensor]): Heatmaps (K, H, W) and tags
                (L*K, H, W) of the input's resolution.

        Returns:
            tuple[np.ndarray, np.ndarray]: Keypoints (N, K, 2) in input pixels
            and scores (N, K).
        """
        maps, tags = encoded
        keypoints, scores, _ = self.batch_decode(maps[None], tags[None])
        return keypoints[0], scores[0]

    @torch.no_grad()
    def batch_decode(
        self,
        batch_heatmaps: Tensor,
        batch_tags: Tensor,
        scale_factor: float = 1.0,
    ) -> Decoded:
        """Find the people of each image.

        Args:
            batch_heatmaps (Tensor): Shape (B, K, H, W).
            batch_tags (Tensor): L groups of K channels, (B, L*K, H, W).
            scale_factor (float): Input pixels per cell. Defaults to 1, maps
                of the input's resolution.

        Returns:
            tuple[list, list, list]: For each image keypoints float32
            (N, K, 2) in input pixels, keypoint scores (N, K), and instance
            scores (N,): the mean over all K keypoints before missing ones
            are filled in.
        """
        batch_heatmaps = batch_heatmaps.float()
        tags = self._split_tags(batch_heatmaps, batch_tags.float())
        found = peaks.find_candidates(
            batch_heatmaps,
            tags,
            threshold=self.decode_keypoint_thr,
            kernel=self.decode_nms_kernel,
            topk=self.decode_topk,
        )
        decoded = [
            self._decode_image(
                batch_heatmaps[b],
                tags[b],
                peaks.Candidates(*(t[b] for t in found)),
                scale_factor,
            )
            for b in range(len(batch_heatmaps))
        ]
        keypoints, scores, instance_scores = zip(*decoded)
        return list(keypoints), list(scores), list(instance_scores)

    def _split_tags(self, maps: Tensor, tags: Tensor) -> Tensor:
        """From (B, L*K, H, W) to (B, L, K, H, W)."""
        num_keypoints = maps.shape[1]
        if len(self.decode_keypoint_order) != num_keypoints:
            raise ValueError(
                'decode_keypoint_order has '
                f'{len(self.decode_keypoint_order)} entries, but the heatmaps '
                f'have {num_keypoints} keypoints; set it in the codec'
            )
        if tags.shape[1] % num_keypoints or (tags.shape[2:] != maps.shape[2:]):
            raise ValueError(
                f'tags of shape {tuple(tags.shape)} do not go with heatmaps '
                f'of shape {tuple(maps.shape)}; expected (B, L*K, H, W)'
            )
        return tags.unflatten(1, (-1, num_keypoints))

    def _decode_image(
        self,
        maps: Tensor,
        tags: Tensor,
        found: peaks.Candidates,
        scale_factor: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        y, x = np.divmod(found.indices.cpu().numpy(), maps.shape[2])
        people = grouping.group_by_tags(
            found.scores.cpu().numpy(),
            np.stack([x, y], axis=-1),
            found.tags.cpu().numpy(),
            keypoint_order=self.decode_keypoint_order,
            keypoint_threshold=self.decode_keypoint_thr,
            tag_threshold=self.decode_tag_thr,
            max_groups=self.decode_topk,
        )
        instance_scores = people.scores.mean(axis=1)
        best = np.argsort(-instance_scores, kind='stable')
        keep = np.sort(best[: self.decode_max_instances])
        people = grouping.People(*(part[keep] for part in people))
        people = grouping.fill_missing_keypoints(
            people, maps.cpu().numpy(), tags.cpu().numpy()
        )
        keypoints = self._to_pixels(maps, people, scale_factor)
        return keypoints, people.scores, instance_scores[keep]

    def _to_pixels(
        self, maps: Tensor, people: grouping.People, scale_factor: float
    ) -> np.ndarray:
        """Cells to input pixels; (0, 0) where a keypoint is missing."""
        cells = torch.from_numpy(people.cells).to(maps.device)
        if self.unbiased:
            # Neighbours one cell of the finest level away: between them a
            # map that was enlarged holds no more than they do.
            stride = self.input_size[0] / self.heatmap_sizes[-1][0]
            step = max(round(stride / scale_factor), 1)
            shift = peaks.log_parabola_shift(maps, cells, step)
        else:
            shift = peaks.quarter_shift(maps, cells)
        pixels = ((cells + shift + 0.5) * scale_factor).cpu().numpy()
        pixels = pixels - (0.5 if self.unbiased else 0.0)
        return pixels * (people.scores > 0)[..., None]

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

from . import block_max, decoding, gaussian_targets, grouping, peaks

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
        person_scale (dict, optional): Turns on SHR, the naive baseline of
            Table 4: the Gaussians of a person have sigma times
            ``s = width / base_width``, at least ``min_scale`` (default 1/16).
            The width is that of the person's box in input pixels, before the
            rotation of the augmentation. ``None``: sigma for all.
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

    auxiliary_encode_keys = {'flip', 'input_size', 'person_width'}
    field_mapping_table = dict(
        heatmaps='heatmaps', heatmap_mask='heatmap_mask'
    )
    label_mapping_table = dict(keypoint_indices='keypoint_indices')

    def __init__(
        self,
        input_size: Size,
        heatmap_sizes: Sequence[Size],
        sigma: float = 2.0,
        person_scale: Optional[dict] = None,
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
        self.person_scale = person_scale
        self.unbiased = unbiased
        self.decode_keypoint_order = list(decode_keypoint_order)
        self.decode_nms_kernel = decode_nms_kernel
        self.decode_keypoint_thr = decode_keypoint_thr
        self.decode_tag_thr = decode_tag_thr
        self.decode_topk = decode_topk
        self.decode_max_instances = decode_max_instances
        _check(self)

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
        person_width: Optional[np.ndarray] = None,
    ) -> dict:
        """Encode the people of one image.

        Args:
            keypoints (np.ndarray): Input pixels, shape (N, K, 2).
            keypoints_visible (np.ndarray, optional): Larger than 0 where
                labelled, shape (N, K). ``None``: all are.
            flip (bool, optional): Whether the image was mirrored.
            input_size (tuple, optional): Size of the image that was made; it
                must be that of the codec.
            person_width (np.ndarray, optional): Widths of the people's boxes
                in input pixels, shape (N,); needed with ``person_scale``.

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
            keypoints_visible = np.ones(keypoints.shape[:2])
        sizes, options = self.heatmap_sizes, dict(unbiased=self.unbiased)
        cells = [self.to_cells(keypoints, s, bool(flip)) for s in sizes]
        draw: Any = gaussian_targets.draw_gaussians
        sigma: Any = self.sigma
        if self.person_scale is not None:
            draw = gaussian_targets.draw_scaled_gaussians
            sigma = self.sigma * gaussian_targets.scales_of_widths(
                person_width, **self.person_scale
            )
        maps = [
            draw(c, keypoints_visible, s, sigma, **options)
            for c, s in zip(cells, sizes)
        ]
        indices = gaussian_targets.keypoint_indices(
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

    def batch_decode(
        self,
        batch_heatmaps: Tensor,
        batch_tags: Tensor,
        scale_factor: float = 1.0,
    ) -> Decoded:
        """Find the people of each image.

        In heatmaps NaN and infinity count as 0; such a tag fits nobody.

        Args:
            batch_heatmaps (Tensor): Shape (B, K, H, W).
            batch_tags (Tensor): L groups of K channels, (B, L*K, H, W), or
                smaller maps, which are read between cells (bilinear).
            scale_factor (float): Input pixels per cell. Defaults to 1, maps
                of the input's resolution.

        Returns:
            tuple[list, list, list]: For each image keypoints float32
            (N, K, 2) in input pixels, their scores (N, K), and instance
            scores (N,): the mean over all K before missing ones are filled.
        """
        with torch.no_grad():
            thr = self.decode_keypoint_thr
            # Above a fifth of it most missing keypoints are found.
            maps, cut = block_max.clean_runs(batch_heatmaps.float(), thr / 5)
            tags = decoding.split_tags(
                maps, batch_tags.float(), self.decode_keypoint_order
            )
            found = peaks.find_candidates(
                maps,
                tags,
                threshold=thr,
                kernel=self.decode_nms_kernel,
                topk=self.decode_topk,
                runs=cut,
            )
            decoded = [
                self._decode_image(
                    maps[b],
                    tags[b],
                    peaks.Candidates(*(t[b] for t in found)),
                    cut.part(b, len(maps)),
                    scale_factor,
                )
                for b in range(len(maps))
            ]
        keypoints, scores, best = ([d[i] for d in decoded] for i in range(3))
        return keypoints, scores, best

    def _decode_image(
        self,
        maps: Tensor,
        tags: Tensor,
        found: peaks.Candidates,
        cut: block_max.Runs,
        scale_factor: float,
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        people, instance_scores = decoding.people_of_image(
            maps,
            tags,
            found,
            keypoint_order=self.decode_keypoint_order,
            keypoint_threshold=self.decode_keypoint_thr,
            tag_threshold=self.decode_tag_thr,
            max_groups=self.decode_topk,
            max_people=self.decode_max_instances,
            runs=cut,
        )
        keypoints = self._to_pixels(maps, people, scale_factor)
        return keypoints, people.scores, instance_scores

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


def _check(codec: ScaleAwareAssociativeEmbedding) -> None:
    input_size, sizes = codec.input_size, codec.heatmap_sizes
    strides = [(input_size[0] / w, input_size[1] / h) for w, h in sizes]
    order, kernel = codec.decode_keypoint_order, codec.decode_nms_kernel
    for holds, message in (
        (
            strides and all(sx == sy for sx, sy in strides),
            f'each of heatmap_sizes {sizes} must be input_size {input_size} '
            'divided by one stride; derive them from input_size, e.g. '
            '(w // 4, h // 4)',
        ),
        (
            strides == sorted(strides, reverse=True),
            f'heatmap_sizes must be increasing, got {sizes}',
        ),
        (
            sorted(order) == list(range(len(order))),
            f'decode_keypoint_order must hold each of 0 to {len(order) - 1} '
            f'once, got {order}',
        ),
        (kernel % 2 == 1, f'decode_nms_kernel must be odd, got {kernel}'),
        (
            codec.decode_keypoint_thr >= 0,
            f'decode_keypoint_thr is {codec.decode_keypoint_thr}, below 0',
        ),
    ):
        if not holds:
            raise ValueError(message)

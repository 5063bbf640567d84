# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The head of HigherHRNet, with the scale branch of SWAHR.

B images, K keypoints, L tag dimensions, C channels.  Level 0 is a quarter of
the input, level 1 a half.
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.models.heads.base_head import BaseHead
from mmpose.registry import KEYPOINT_CODECS, MODELS
from torch import Tensor, nn

from swahr_mmpose.structures import HeadOutput, stack_heatmaps, stack_masks

from .fusion import Maps, decoded_size, fuse_levels, merge_flipped
from .layers import deconvolution, one_per_block, scale_branch

__all__ = ['HigherHRNetHead']

Feats = Sequence[Tensor]
_INIT = [
    dict(type='Normal', layer=['Conv2d', 'ConvTranspose2d'], std=0.001),
    dict(type='Constant', layer='BatchNorm2d', val=1),
]


@MODELS.register_module()
class HigherHRNetHead(BaseHead):
    """Heatmaps and tags at 1/4, finer heatmaps at 1/2, and scale maps.

    "HigherHRNet" (Cheng et al., CVPR 2020), figure 2; the scale branch is
    that of SWAHR (figure 4).  Neither level's scale map enters the other
    parts of the network, so that at test time the branch is not run.

    Args:
        in_channels (int): C, channels of the 1/4 features.
        num_keypoints (int): K.
        deconv_out_channels (int, optional): Channels at 1/2; ``None``: C.
        num_basic_blocks (int): Residual blocks after the deconvolution.
        dilations (Sequence[int], optional): One for each of these blocks
            (Table 7); ``None``: 1.
        scale_maps (bool): Build the scale branch; ``False`` for the baseline
            and WAHR, whose loss has no use for it.
        tag_per_keypoint (bool): A tag map for each keypoint, or one for all.
        keypoint_loss (dict): Config of the heatmap loss.
        tag_loss (dict): Config of the tag loss.
        decoder (dict, optional): Config of the codec; needed to predict.
        init_cfg (dict | list, optional): ``None``: normal 0.001, as official.
    """

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int,
        deconv_out_channels: Optional[int] = None,
        num_basic_blocks: int = 4,
        dilations: Optional[Sequence[int]] = None,
        scale_maps: bool = True,
        tag_per_keypoint: bool = True,
        keypoint_loss: Optional[dict] = None,
        tag_loss: Optional[dict] = None,
        decoder: Optional[dict] = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(_INIT if init_cfg is None else init_cfg)
        self.num_keypoints = num_keypoints
        self.keypoint_loss = MODELS.build(
            keypoint_loss or dict(type='SWAHRLoss', scale_adaptive=scale_maps)
        )
        self.tag_loss = MODELS.build(tag_loss or dict(type='PullPushLoss'))
        self.decoder = (
            None if decoder is None else KEYPOINT_CODECS.build(decoder)
        )
        self._check(scale_maps)

        self._build(
            (in_channels, deconv_out_channels or in_channels),
            num_keypoints + (num_keypoints if tag_per_keypoint else 1),
            one_per_block(dilations, num_basic_blocks),
            scale_maps,
        )
        self._start_at_scale_one()

    def _build(
        self,
        channels: Tuple[int, int],
        num_maps: int,
        dilations: Sequence[int],
        scale_maps: bool,
    ) -> None:
        """Layers, named as in published checkpoints."""
        (coarse, fine), k = channels, self.num_keypoints
        self.final_layers = nn.ModuleList(
            [nn.Conv2d(coarse, num_maps, 1), nn.Conv2d(fine, k, 1)]
        )
        self.deconv_layers = nn.ModuleList(
            [deconvolution(coarse + num_maps, fine, dilations)]
        )
        self.scale_layers = None
        if scale_maps:
            branches = (scale_branch(c, k) for c in channels)
            self.scale_layers = nn.ModuleList(branches)

    def _check(self, scale_maps: bool) -> None:
        adaptive = getattr(self.keypoint_loss, 'scale_adaptive', scale_maps)
        if adaptive != scale_maps:
            raise ValueError(
                f'scale_maps={scale_maps} in the head, but the loss has '
                f'scale_adaptive={adaptive}; give both the same value'
            )
        order = getattr(self.decoder, 'decode_keypoint_order', [])
        if order and len(order) != self.num_keypoints:
            raise ValueError(
                f'the head has {self.num_keypoints} keypoints, but the '
                f"codec's decode_keypoint_order {len(order)}; both must be "
                'those of the data set'
            )

    def init_weights(self) -> None:
        """Initialise as official: alpha is 0 everywhere at the start."""
        super().init_weights()
        self._start_at_scale_one()

    def _start_at_scale_one(self) -> None:
        for branch in self.scale_layers or ():
            for parameter in list(branch.children())[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(
        self, feats: Feats, with_scale_maps: Optional[bool] = None
    ) -> HeadOutput:
        """Run the head.

        Args:
            feats (Sequence[Tensor]): The first is used, (B, C, H/4, W/4).
            with_scale_maps (bool, optional): Whether to run the scale branch,
                where there is one. ``None``: in training only.

        Returns:
            HeadOutput: See there.
        """
        coarse = feats[0]
        maps = self.final_layers[0](coarse)
        fine = self.deconv_layers[0](torch.cat([coarse, maps], dim=1))
        heatmaps, tags = maps.tensor_split([self.num_keypoints], dim=1)
        if with_scale_maps is None:
            with_scale_maps = self.training
        scale_maps = None
        if with_scale_maps and self.scale_layers is not None:
            scale_maps = [
                branch(x)
                for branch, x in zip(self.scale_layers, (coarse, fine))
            ]
        return HeadOutput(
            [heatmaps, self.final_layers[1](fine)],
            tags.expand(-1, self.num_keypoints, -1, -1),
            scale_maps,
        )

    def loss(
        self,
        feats: Feats,
        batch_data_samples: Sequence[Any],
        train_cfg: Any = None,
    ) -> dict:
        """Losses of a batch.

        Args:
            feats (Sequence[Tensor]): As for :meth:`forward`.
            batch_data_samples (Sequence[PoseDataSample]): With
                ``gt_fields.heatmaps`` and ``.heatmap_mask`` (a list each, one
                per level) and ``gt_instance_labels.keypoint_indices``.
            train_cfg (dict, optional): Not used.

        Returns:
            dict[str, Tensor]: ``loss_kpt.{level}``, ``loss_scale.{level}``
            where scales are learned, ``loss_pull``, ``loss_push``.
        """
        output = self.forward(feats, with_scale_maps=True)
        fields = [s.gt_fields for s in batch_data_samples]
        losses = {}
        for level, heatmaps in enumerate(output.heatmaps):
            alpha = output.scale_maps[level] if output.scale_maps else None
            regression, regularizer = self.keypoint_loss(
                heatmaps,
                alpha,
                stack_heatmaps(fields, level),
                stack_masks(fields, level),
            )
            losses[f'loss_kpt.{level}'] = regression
            if alpha is not None:
                losses[f'loss_scale.{level}'] = regularizer
        losses['loss_pull'], losses['loss_push'] = self.tag_loss(
            output.tags,
            [
                s.gt_instance_labels.keypoint_indices
                for s in batch_data_samples
            ],
        )
        return losses

    def test_maps(
        self,
        feats: Feats,
        flipped_feats: Optional[Feats],
        size: Sequence[int],
        flip_indices: Optional[Sequence[int]] = None,
        levels: Sequence[int] = (0, 1),
    ) -> Maps:
        """Fused maps of one scale; the scale branch is not run.

        Args:
            feats (Sequence[Tensor]): Of the image.
            flipped_feats (Sequence[Tensor], optional): Of its mirror image.
            size (Sequence[int]): Size ``(h, w)`` of the result.
            flip_indices (Sequence[int], optional): With ``flipped_feats``.
            levels (Sequence[int]): Whose heatmaps count, 0 at 1/4 and 1 at
                1/2; tags are always of level 0.

        Returns:
            tuple[Tensor, Tensor]: Heatmaps (B, K, h, w) and tags (B, L*K,
            H/4, W/4) as they are; L = 2 with the mirror image, else 1.
        """
        output = self.forward(feats, with_scale_maps=False)
        if flipped_feats is not None:
            assert flip_indices is not None
            mirror = self.forward(flipped_feats, with_scale_maps=False)
            output = merge_flipped(output, mirror, flip_indices)
        return fuse_levels(output, size, levels)

    def predict(
        self,
        feats: Union[Tuple[Tensor, ...], List[Tuple[Tensor, ...]]],
        batch_data_samples: Sequence[Any],
        test_cfg: Any = None,
    ) -> Any:
        """Predict at one scale.

        Args:
            feats (tuple[Tensor] | list[tuple[Tensor]]): Features, or those of
                the image and of its mirror image.
            batch_data_samples (Sequence[PoseDataSample]): Images of equal
                ``input_size``.
            test_cfg (dict, optional): ``output_heatmaps`` to return fields;
                ``heatmap_levels`` as ``levels`` of :meth:`test_maps`;
                ``upsample_heatmaps`` of :func:`decoded_size`.

        Returns:
            list[InstanceData] | tuple: Instances, and with
            ``output_heatmaps`` a list of PixelData as well.
        """
        plain, mirrored = feats if isinstance(feats, list) else (feats, None)
        info = batch_data_samples[0].metainfo
        test_cfg = test_cfg or {}
        size, scale_factor = decoded_size(
            info['input_size'], test_cfg.get('upsample_heatmaps', True)
        )
        maps = self.test_maps(
            plain,
            mirrored,
            size,
            info.get('flip_indices'),
            test_cfg.get('heatmap_levels', (0, 1)),
        )
        instances = self.decode(maps, scale_factor)
        if test_cfg.get('output_heatmaps', False):
            return instances, [PixelData(heatmaps=h) for h in maps[0]]
        return instances

    def decode(
        self, batch_outputs: Maps, scale_factor: float = 1.0
    ) -> List[InstanceData]:
        """Find people in fused maps.

        Args:
            batch_outputs (tuple[Tensor, Tensor]): From :meth:`test_maps`.
            scale_factor (float): Input pixels per cell of the heatmaps.

        Returns:
            list[InstanceData]: With ``keypoints`` (N, K, 2) in input pixels,
            ``keypoint_scores`` (N, K) and ``bbox_scores`` (N,).
        """
        if self.decoder is None:
            raise RuntimeError(
                'the head has no decoder; set decoder=codec in '
                'its config to predict'
            )
        decoded = self.decoder.batch_decode(*batch_outputs, scale_factor)
        return [
            InstanceData(keypoints=k, keypoint_scores=s, bbox_scores=b)
            for k, s, b in zip(*decoded)
        ]

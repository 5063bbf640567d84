# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""HigherHRNet head with the scale branch of SWAHR.

B images, K keypoints, L tag dimensions, C channels; the input has H x W
pixels. The head has one level more than deconvolution stages. Level 0 has the
resolution of the features (H/4 x W/4 with HRNet), and each stage adds a level
of twice the resolution.
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.models.heads.base_head import BaseHead
from mmpose.registry import KEYPOINT_CODECS, MODELS
from torch import Tensor, nn

from swahr_mmpose.structures import HeadOutput

from .fusion import Maps, decoded_size, fuse_levels, merge_flipped
from .head_losses import compute_losses
from .keypoint_sigmas import compute_sigmas
from .layers import expand_dilations, make_deconv_stage, make_scale_branch

__all__ = ['HigherHRNetHead']

Feats = Sequence[Tensor]
_INIT = [
    dict(type='Normal', layer=['Conv2d', 'ConvTranspose2d'], std=0.001),
    dict(type='Constant', layer='BatchNorm2d', val=1),
]


@MODELS.register_module()
class HigherHRNetHead(BaseHead):
    """Heatmaps and scale maps at several levels, tags at level 0.

    Architecture of "HigherHRNet" (Cheng et al., CVPR 2020, figure 2) and
    scale branch of SWAHR (figure 4). Scale maps do not enter other parts of
    the network. At test time the scale branch is run only to output standard
    deviations of keypoints (``test_cfg.output_scales``).

    Args:
        in_channels (int): C, channels of the features.
        num_keypoints (int): K.
        deconv_out_channels (int | Sequence[int], optional): Output channels
            of the deconvolution stages, one per stage; the number of levels
            is 1 + their number (``NUM_DECONVS`` of the official
            implementation). An int is one stage. Defaults to ``None``, one
            stage of C channels.
        num_basic_blocks (int): Residual blocks per stage, after its
            deconvolution. Defaults to 4.
        dilations (Sequence[int], optional): Dilations of these blocks, one
            per block (Table 7). Defaults to ``None``, 1.
        scale_maps (bool): Whether to build the scale branch; ``False`` for
            HigherHRNet and WAHR, whose loss does not use it. Defaults to
            True.
        tag_per_keypoint (bool): Whether each keypoint has its own tag maps;
            ``False``: all share one set. Defaults to True.
        tag_dim (int): L, dimensions of a tag. Defaults to 1.
        keypoint_loss (dict, optional): Config of the heatmap loss. Defaults
            to ``None``, ``SWAHRLoss`` with ``scale_adaptive=scale_maps``.
        tag_loss (dict, optional): Config of the tag loss. Defaults to
            ``None``, ``PullPushLoss``.
        decoder (dict, optional): Config of the codec, required to predict.
            Defaults to ``None``.
        init_cfg (dict | list, optional): Initialization. Defaults to
            ``None``, a normal distribution with standard deviation 0.001, as
            in the official implementation.

    Raises:
        ValueError: If loss, codec and head do not fit each other, or an
            argument is invalid.
    """

    def __init__(
        self,
        in_channels: int,
        num_keypoints: int,
        deconv_out_channels: Union[int, Sequence[int], None] = None,
        num_basic_blocks: int = 4,
        dilations: Optional[Sequence[int]] = None,
        scale_maps: bool = True,
        tag_per_keypoint: bool = True,
        tag_dim: int = 1,
        keypoint_loss: Optional[dict] = None,
        tag_loss: Optional[dict] = None,
        decoder: Optional[dict] = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(_INIT if init_cfg is None else init_cfg)
        if not isinstance(tag_dim, int) or tag_dim < 1:
            raise ValueError(
                f'tag_dim is {tag_dim!r}, expected an int of 1 or more'
            )
        self.num_keypoints = num_keypoints
        self.tag_per_keypoint, self.tag_dim = tag_per_keypoint, tag_dim
        self.keypoint_loss = MODELS.build(
            keypoint_loss or dict(type='SWAHRLoss', scale_adaptive=scale_maps)
        )
        self.tag_loss = MODELS.build(tag_loss or dict(type='PullPushLoss'))
        self.decoder = (
            None if decoder is None else KEYPOINT_CODECS.build(decoder)
        )
        channels = _list_channels(in_channels, deconv_out_channels)
        self._check(scale_maps, len(channels))

        self._build(
            channels,
            num_keypoints
            + tag_dim * (num_keypoints if tag_per_keypoint else 1),
            expand_dilations(dilations, num_basic_blocks),
            scale_maps,
        )
        self._zero_scale_maps()

    def _build(
        self,
        channels: Sequence[int],
        num_maps: int,
        dilations: Sequence[int],
        scale_maps: bool,
    ) -> None:
        """Build the layers with the names of published checkpoints.

        Args:
            channels (Sequence[int]): Channels of the features, one per level.
            num_maps (int): Heatmaps and tag maps at level 0.
            dilations (Sequence[int]): Dilations of the residual blocks.
            scale_maps (bool): Whether to build the scale branch.
        """
        k = self.num_keypoints
        maps = [num_maps] + [k] * (len(channels) - 1)
        self.final_layers = nn.ModuleList(
            nn.Conv2d(c, m, 1) for c, m in zip(channels, maps)
        )
        self.deconv_layers = nn.ModuleList(
            make_deconv_stage(c + m, c_next, dilations)
            for c, m, c_next in zip(channels, maps, channels[1:])
        )
        self.scale_layers = None
        if scale_maps:
            branches = (make_scale_branch(c, k) for c in channels)
            self.scale_layers = nn.ModuleList(branches)

    def _check(self, scale_maps: bool, num_levels: int) -> None:
        """Raise ValueError for a loss or codec that does not fit."""
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
                'those of the dataset'
            )
        sizes = getattr(self.decoder, 'heatmap_sizes', None)
        if sizes is not None and len(sizes) != num_levels:
            raise ValueError(
                f'the codec has {len(sizes)} heatmap_sizes {sizes}, expected '
                f'one per level of the head, {num_levels}; change '
                'heatmap_sizes in the codec, or give deconv_out_channels in '
                'the head one entry per deconvolution stage (one less than '
                'levels)'
            )

    @property
    def finest_stride(self) -> float:
        """Stride of the finest level in input pixels, from the codec.

        Raises:
            RuntimeError: If the head has no decoder.
        """
        codec = self._get_decoder()
        return codec.input_size[0] / codec.heatmap_sizes[-1][0]

    def _get_decoder(self) -> Any:
        """Get the codec; raise RuntimeError if there is none."""
        if self.decoder is None:
            raise RuntimeError(
                'the head has no decoder; set decoder=codec in '
                'its config to predict'
            )
        return self.decoder

    def init_weights(self) -> None:
        """Initialize as in the official implementation, alpha with 0."""
        super().init_weights()
        self._zero_scale_maps()

    def _zero_scale_maps(self) -> None:
        """Set the last convolutions of the scale branch to 0 (s = 1)."""
        for branch in self.scale_layers or ():
            for parameter in list(branch.children())[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(
        self, feats: Feats, with_scale_maps: Optional[bool] = None
    ) -> HeadOutput:
        """Run the head.

        Args:
            feats (Sequence[Tensor]): Features of the backbone; the first,
                (B, C, H/4, W/4), is used.
            with_scale_maps (bool, optional): Whether to run the scale branch,
                if there is one. Defaults to ``None``, in training only.

        Returns:
            HeadOutput: Heatmaps and scale maps per level, (B, K, h, w), and
            tags of level 0, L groups of K maps, (B, L*K, H/4, W/4).
        """
        first, *finals = self.final_layers
        level_feats, maps = [feats[0]], [first(feats[0])]
        for deconv, final in zip(self.deconv_layers, finals):
            stage_input = torch.cat([level_feats[-1], maps[-1]], dim=1)
            level_feats.append(deconv(stage_input))
            maps.append(final(level_feats[-1]))
        count = self.num_keypoints
        # Sizes, which older ONNX operator sets have, unlike tensor_split.
        maps[0], tags = maps[0].split([count, maps[0].shape[1] - count], dim=1)
        if with_scale_maps is None:
            with_scale_maps = self.training
        scale_maps = None
        if with_scale_maps and self.scale_layers is not None:
            scale_maps = [
                branch(x) for branch, x in zip(self.scale_layers, level_feats)
            ]
        return HeadOutput(maps, self._repeat_tags(tags), scale_maps)

    def _repeat_tags(self, tags: Tensor) -> Tensor:
        """Give each keypoint the tag maps that all share."""
        if self.tag_per_keypoint:
            return tags
        if self.tag_dim == 1:
            return tags.expand(-1, self.num_keypoints, -1, -1)
        return tags.repeat_interleave(self.num_keypoints, dim=1)

    def loss(
        self,
        feats: Feats,
        batch_data_samples: Sequence[Any],
        train_cfg: Any = None,
    ) -> dict:
        """Compute the losses of a batch.

        Args:
            feats (Sequence[Tensor]): Features, see :meth:`forward`.
            batch_data_samples (Sequence[PoseDataSample]): Samples with
                ``gt_fields.heatmaps`` and ``gt_fields.heatmap_mask`` (lists,
                one entry per level) and
                ``gt_instance_labels.keypoint_indices`` (N, K, 2); optional
                ``gt_instance_labels.keypoints_visible_weights`` (N, K), 0 for
                keypoints that the dataset does not annotate: their heatmaps
                have no loss in this image.
            train_cfg (dict, optional): Not used.

        Returns:
            dict[str, Tensor]: Scalars ``loss_kpt.{level}``,
            ``loss_scale.{level}`` (with a scale branch only), ``loss_pull``
            and ``loss_push``.
        """
        return compute_losses(
            self.forward(feats, with_scale_maps=True),
            batch_data_samples,
            self.keypoint_loss,
            self.tag_loss,
        )

    def test_maps(
        self,
        feats: Feats,
        flipped_feats: Optional[Feats],
        size: Sequence[int],
        flip_indices: Optional[Sequence[int]] = None,
        levels: Optional[Sequence[int]] = None,
    ) -> Maps:
        """Compute fused maps of one scale, without the scale branch.

        See :meth:`merge_views` and :func:`~.fusion.fuse_levels`.

        Args:
            feats (Sequence[Tensor]): Features of the images.
            flipped_feats (Sequence[Tensor], optional): Features of the
                horizontally flipped images; ``None``: no flip test.
            size (Sequence[int]): Size ``(h, w)`` of the heatmaps.
            flip_indices (Sequence[int], optional): Index of the left/right
                counterpart of each keypoint; required for the flip test.
            levels (Sequence[int], optional): Levels whose heatmaps are
                averaged; tags are always those of level 0. Defaults to
                ``None``, all.

        Returns:
            tuple[Tensor, Tensor]: Heatmaps (B, K, h, w) and tags (B, L*K,
            H/4, W/4), not resized; L is ``tag_dim``, with a flip test twice
            that.

        Raises:
            ValueError: If ``levels`` is empty or has a level that does not
                exist.
        """
        output = self.merge_views(feats, flipped_feats, flip_indices)
        return fuse_levels(output, size, levels)

    def merge_views(
        self,
        feats: Feats,
        flipped_feats: Optional[Feats] = None,
        flip_indices: Optional[Sequence[int]] = None,
        with_scale_maps: bool = False,
    ) -> HeadOutput:
        """Run the head and merge the views of a flip test.

        Args:
            feats (Sequence[Tensor]): Features of the images.
            flipped_feats (Sequence[Tensor], optional): Features of the
                horizontally flipped images. Defaults to ``None``, no flip
                test.
            flip_indices (Sequence[int], optional): Index of the left/right
                counterpart of each keypoint; required for the flip test.
            with_scale_maps (bool): Whether to run the scale branch. Defaults
                to False.

        Returns:
            HeadOutput: Output for the images, or the merged output of both
            views, see :func:`~.fusion.merge_flipped`.

        Raises:
            ValueError: If scale maps are requested, but the head has no scale
                branch, or ``flip_indices`` are missing.
        """
        if with_scale_maps and self.scale_layers is None:
            raise ValueError(
                'test_cfg.output_scales is True, but the head has no scale '
                'branch (scale_maps=False); use a SAHR or SWAHR model, or '
                'set output_scales=False'
            )
        output = self.forward(feats, with_scale_maps)
        if flipped_feats is None:
            return output
        if flip_indices is None:
            raise ValueError(
                'test_cfg.flip_test is True, but the samples have no '
                "flip_indices; add 'flip_indices' to meta_keys of "
                'BottomupPackInputs, or set flip_test=False'
            )
        flipped = self.forward(flipped_feats, with_scale_maps)
        return merge_flipped(output, flipped, flip_indices)

    def predict(
        self,
        feats: Union[Tuple[Tensor, ...], List[Tuple[Tensor, ...]]],
        batch_data_samples: Sequence[Any],
        test_cfg: Any = None,
    ) -> Any:
        """Predict people at one scale.

        Args:
            feats (tuple[Tensor] | list[tuple[Tensor]]): Features of the
                images; for a flip test a list of these and the features of
                the horizontally flipped images.
            batch_data_samples (Sequence[PoseDataSample]): B samples of equal
                ``input_size``.
            test_cfg (dict, optional): ``output_heatmaps`` (bool): whether to
                return heatmaps, default False; ``heatmap_levels``
                (Sequence[int]): levels to average, default all;
                ``output_scales`` (bool): whether to add standard deviations
                of keypoints, see :meth:`add_sigmas`, default False;
                ``upsample_heatmaps`` (bool): see
                :func:`~.fusion.decoded_size`, default True.

        Returns:
            list[InstanceData] | tuple[list[InstanceData], list[PixelData]]:
            Instances of each image, see :meth:`decode`; with
            ``output_heatmaps`` also the fused heatmaps (K, h, w).

        Raises:
            RuntimeError: If the head has no decoder.
        """
        image_feats, flipped_feats = (
            feats if isinstance(feats, list) else (feats, None)
        )
        info = batch_data_samples[0].metainfo
        test_cfg = test_cfg or {}
        size, scale_factor = decoded_size(
            info['input_size'],
            test_cfg.get('upsample_heatmaps', True),
            self.finest_stride,
        )
        output = self.merge_views(
            image_feats,
            flipped_feats,
            info.get('flip_indices'),
            test_cfg.get('output_scales', False),
        )
        maps = fuse_levels(output, size, test_cfg.get('heatmap_levels'))
        instances = self.decode(maps, scale_factor)
        if output.scale_maps is not None:
            self.add_sigmas(instances, output, batch_data_samples)
        if test_cfg.get('output_heatmaps', False):
            return instances, [PixelData(heatmaps=h) for h in maps[0]]
        return instances

    def decode(
        self, batch_outputs: Maps, scale_factor: float = 1.0
    ) -> List[InstanceData]:
        """Decode fused maps into people.

        Args:
            batch_outputs (tuple[Tensor, Tensor]): Maps from
                :meth:`test_maps`.
            scale_factor (float): Input pixels per cell of the heatmaps.
                Defaults to 1.

        Returns:
            list[InstanceData]: Instances of each image: ``keypoints``
            (N, K, 2) in input pixels, ``keypoint_scores`` (N, K),
            ``bbox_scores`` (N,) and ``keypoints_filled`` (N, K), True for
            missing keypoints that were filled in.

        Raises:
            RuntimeError: If the head has no decoder.
        """
        codec = self._get_decoder()
        # MMPose's own codecs have batch_decode alone.
        decode = getattr(codec, 'decode_people', codec.batch_decode)
        names = 'keypoints', 'keypoint_scores', 'bbox_scores'
        return [
            InstanceData(**dict(zip((*names, 'keypoints_filled'), people)))
            for people in zip(*decode(*batch_outputs, scale_factor))
        ]

    def add_sigmas(
        self,
        instances: Sequence[InstanceData],
        output: HeadOutput,
        batch_data_samples: Sequence[Any],
    ) -> None:
        """Add standard deviations of keypoints to decoded instances.

        See :func:`~.keypoint_sigmas.compute_sigmas`.

        Args:
            instances (Sequence[InstanceData]): Instances of B images from
                :meth:`decode`; ``keypoint_sigmas``, float32 (N, K), in pixels
                of the original image is added.
            output (HeadOutput): Output with scale maps.
            batch_data_samples (Sequence[PoseDataSample]): B samples with
                ``input_size`` and ``input_scale``.
        """
        assert output.scale_maps is not None
        sigmas = compute_sigmas(
            output.scale_maps[-1],
            instances,
            [sample.metainfo for sample in batch_data_samples],
            self._get_decoder(),
            self.finest_stride,
        )
        for people, people_sigmas in zip(instances, sigmas):
            people.keypoint_sigmas = people_sigmas


def _list_channels(
    in_channels: int, deconv_out_channels: Union[int, Sequence[int], None]
) -> List[int]:
    """List the channels of the features, one entry per level.

    Raises:
        ValueError: If there is no deconvolution stage.
    """
    if deconv_out_channels is None or isinstance(deconv_out_channels, int):
        return [in_channels, deconv_out_channels or in_channels]
    if not deconv_out_channels:
        raise ValueError(
            'deconv_out_channels is empty, expected an int per deconvolution '
            'stage, at least one; leave it out for one stage of in_channels'
        )
    return [in_channels, *deconv_out_channels]

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Bottom-up pose estimator with multi-scale test and flip test.

B images; an image pyramid is a list of tensors (B, 3, H, W), one per scale,
largest first.
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.structures import BaseDataElement, PixelData
from mmengine.utils import is_list_of
from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.models.pose_estimators import BottomupPoseEstimator
from mmpose.registry import MODELS
from torch import Tensor

from swahr_mmpose.models.heads.fusion import decoded_size, fuse_levels
from swahr_mmpose.structures import HeadOutput

from .sample_transfer import move_samples

__all__ = ['BottomupPyramidDataPreprocessor', 'BottomupPyramidPoseEstimator']


@MODELS.register_module()
class BottomupPyramidDataPreprocessor(PoseDataPreprocessor):
    """Normalization of single images and image pyramids.

    Args:
        channels_last (bool): Whether to use the memory format
            ``torch.channels_last``, which convolutions preserve: same
            results, faster on a CPU and in mixed precision on a GPU. Defaults
            to False.
        kwargs: Arguments of MMPose's ``PoseDataPreprocessor``.
    """

    def __init__(self, channels_last: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.memory_format = (
            torch.channels_last if channels_last else torch.contiguous_format
        )

    def cast_data(self, data: Any) -> Any:
        """Move data to the device of the model.

        Args:
            data (Any): Nested data of the data loader; see
                :func:`~.sample_transfer.move_samples` for data samples.

        Returns:
            Any: The same structure on the device.
        """
        if isinstance(data, list) and is_list_of(data, BaseDataElement):
            return move_samples(data, self.device, self._non_blocking)
        return super().cast_data(data)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalize a batch.

        Args:
            data (dict): ``inputs``: list of B images (3, h, w), or a list of
                such lists, one per scale; and ``data_samples``.
            training (bool): Passed to MMPose's ``PoseDataPreprocessor``.
                Defaults to False.

        Returns:
            dict: ``inputs``: tensor (B, 3, H, W), or a list of them, one per
            scale; and ``data_samples``.
        """
        inputs = data['inputs']
        if not (
            isinstance(inputs, list) and isinstance(inputs[0], (list, tuple))
        ):
            return self._normalize(data, training)
        pyramid = []
        for images in inputs:
            batch = dict(
                inputs=list(images), data_samples=data['data_samples']
            )
            batch = self._normalize(batch, training)
            pyramid.append(batch['inputs'])
        return dict(inputs=pyramid, data_samples=batch['data_samples'])

    def _normalize(self, data: dict, training: bool) -> dict:
        """Normalize the images of one scale."""
        data = super().forward(data, training)
        data['inputs'] = data['inputs'].contiguous(
            memory_format=self.memory_format
        )
        return data


@MODELS.register_module()
class BottomupPyramidPoseEstimator(BottomupPoseEstimator):
    """MMPose's bottom-up pose estimator, tested at one or more scales.

    Heatmaps are averaged over scales and, in a flip test, over both views;
    tags are those of scale 1. Keys of ``test_cfg``:

    - ``flip_test`` (bool): whether to add the horizontally flipped images.
      Defaults to False.
    - ``heatmap_levels`` (Sequence[int]): levels whose heatmaps are averaged,
      0 is the coarsest. Defaults to all.
    - ``upsample_heatmaps`` (bool): whether to decode at input resolution;
      ``False``: at the resolution of the finest level, which is faster and
      slightly less accurate. Defaults to True.
    - ``output_heatmaps`` (bool): whether to return the fused heatmaps as
      ``pred_fields``. Defaults to False.
    - ``output_scales`` (bool): whether to run the scale branch and return the
      standard deviation of each keypoint in pixels of the original image, as
      ``pred_instances.keypoint_sigmas``
      (:meth:`.HigherHRNetHead.add_sigmas`). Both views of a flip test are
      averaged. Of an image pyramid scale 1 is used, as for tags. Defaults to
      False, which costs nothing.
    """

    def forward(
        self,
        inputs: Union[Tensor, List[Tensor]],
        data_samples: Any = None,
        mode: str = 'tensor',
    ) -> Any:
        """Run MMPose's ``forward``; ``'predict'`` accepts image pyramids.

        Args:
            inputs (Tensor | list[Tensor]): Images (B, 3, H, W), or an image
                pyramid.
            data_samples (Sequence[PoseDataSample], optional): B samples.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``. Defaults to
                ``'tensor'``.

        Returns:
            dict | list[PoseDataSample] | HeadOutput: Losses, samples with
            predictions, or the output of the head, by mode.
        """
        if mode == 'predict' and isinstance(inputs, list):
            for sample in data_samples if self.metainfo else ():
                sample.set_metainfo(self.metainfo)
            return self.predict(inputs, data_samples)
        return super().forward(inputs, data_samples, mode)

    def predict(
        self, inputs: Union[Tensor, List[Tensor]], data_samples: Sequence[Any]
    ) -> Any:
        """Predict people in pixels of the original images.

        Args:
            inputs (Tensor | list[Tensor]): Images (B, 3, H, W), or an image
                pyramid in the order of ``pyramid_scales`` of the samples.
            data_samples (Sequence[PoseDataSample]): B samples of equal
                ``input_size``.

        Returns:
            list[PoseDataSample]: Samples with ``pred_instances`` and, with
            ``output_heatmaps``, ``pred_fields``.

        Raises:
            ValueError: If input sizes differ within the batch, or the pyramid
                does not fit ``pyramid_scales``.
        """
        pyramid = inputs if isinstance(inputs, list) else [inputs]
        info = data_samples[0].metainfo
        scales = info.get('pyramid_scales', [1.0])
        _check_sizes(pyramid, scales, data_samples)
        size, scale_factor = decoded_size(
            info['input_size'],
            self.test_cfg.get('upsample_heatmaps', True),
            self.head.finest_stride,
        )
        outputs = [
            self._run_scale(images, scale, info.get('flip_indices'))
            for images, scale in zip(pyramid, scales)
        ]
        levels = self.test_cfg.get('heatmap_levels')
        maps = [fuse_levels(output, size, levels) for output in outputs]
        heatmaps = maps[0][0]
        if len(maps) > 1:
            heatmaps = torch.stack([m[0] for m in maps]).mean(dim=0)
        native = list(scales).index(1.0)
        instances = self.head.decode((heatmaps, maps[native][1]), scale_factor)
        if outputs[native].scale_maps is not None:
            self.head.add_sigmas(instances, outputs[native], data_samples)
        fields = None
        if self.test_cfg.get('output_heatmaps', False):
            fields = [PixelData(heatmaps=h) for h in heatmaps]
        return self.add_pred_to_datasample(instances, fields, data_samples)

    def _run_scale(
        self,
        images: Tensor,
        scale: float,
        flip_indices: Optional[Sequence[int]],
    ) -> HeadOutput:
        """Run the network at one scale; scale maps at scale 1 only."""
        return self.head.merge_views(
            *self._extract_views(images),
            flip_indices,
            self.test_cfg.get('output_scales', False) and scale == 1.0,
        )

    def _extract_views(
        self, images: Tensor
    ) -> Tuple[Sequence[Tensor], Optional[Sequence[Tensor]]]:
        """Extract features of both views; the second is None if not used."""
        feats = self.extract_feat(images)
        if not self.test_cfg.get('flip_test', False):
            return feats, None
        return feats, self.extract_feat(images.flip(-1))


def _check_sizes(
    pyramid: List[Tensor], scales: Sequence[float], data_samples: Sequence[Any]
) -> None:
    """Raise ValueError if image sizes or the number of scales do not fit."""
    sizes = {tuple(s.metainfo['input_size']) for s in data_samples}
    if len(sizes) > 1:
        raise ValueError(
            f'a batch holds test images of sizes {sorted(sizes)} (w, h), '
            'expected one size; set batch_size=1 in the test dataloader, or '
            "its batch_sampler to dict(type='EqualSizeBatchSampler')"
        )
    if len(pyramid) != len(scales):
        raise ValueError(
            f'got an image pyramid of {len(pyramid)} images, expected one per '
            f'scale {list(scales)} (pyramid_scales)'
        )

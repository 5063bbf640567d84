# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The bottom-up estimator: one scale or a pyramid, mirrored or not.

B images; an image pyramid is a list of tensors (B, 3, H, W), largest first.
"""

from __future__ import annotations

from typing import Any, List, Sequence, Union

import torch
from mmengine.structures import PixelData
from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.models.pose_estimators import BottomupPoseEstimator
from mmpose.registry import MODELS
from torch import Tensor

from swahr_mmpose.models.heads.fusion import decoded_size

__all__ = ['BottomupPyramidDataPreprocessor', 'BottomupPyramidPoseEstimator']


@MODELS.register_module()
class BottomupPyramidDataPreprocessor(PoseDataPreprocessor):
    """Normalises image pyramids as well as single images.

    Args:
        channels_last (bool): Store the channels of a pixel together, which the
            convolutions then keep: the same numbers, faster on a CPU and in
            mixed precision on a GPU. Defaults to ``False``.
        kwargs: Those of MMPose's ``PoseDataPreprocessor``.
    """

    def __init__(self, channels_last: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.memory_format = (
            torch.channels_last if channels_last else torch.contiguous_format
        )

    def _forward_images(self, data: dict, training: bool) -> dict:
        data = super().forward(data, training)
        data['inputs'] = data['inputs'].contiguous(
            memory_format=self.memory_format
        )
        return data

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalise a batch.

        Args:
            data (dict): ``inputs``, a list of B images (3, h, w), or a list
                over the scales of such lists; and ``data_samples``.
            training (bool): Passed on.

        Returns:
            dict: ``inputs``, a tensor or a list of tensors.
        """
        inputs = data['inputs']
        if not (
            isinstance(inputs, list) and isinstance(inputs[0], (list, tuple))
        ):
            return self._forward_images(data, training)
        levels = []
        for images in inputs:
            batch = dict(
                inputs=list(images), data_samples=data['data_samples']
            )
            batch = self._forward_images(batch, training)
            levels.append(batch['inputs'])
        return dict(inputs=levels, data_samples=batch['data_samples'])


@MODELS.register_module()
class BottomupPyramidPoseEstimator(BottomupPoseEstimator):
    """MMPose's bottom-up estimator, tested at one or more scales.

    Heatmaps are averaged over the scales and over the image and its mirror
    image; tags are those of scale 1.  ``test_cfg`` takes ``flip_test``,
    ``heatmap_levels`` (which levels count: 0 at 1/4, 1 at 1/2; by default
    both), ``output_heatmaps`` and ``upsample_heatmaps`` (by default True;
    False looks for people at half the input's resolution: faster, a little
    less accurate).
    """

    def forward(
        self,
        inputs: Union[Tensor, List[Tensor]],
        data_samples: Any = None,
        mode: str = 'tensor',
    ) -> Any:
        """As MMPose's, but a list of inputs is a pyramid to predict from."""
        if mode == 'predict' and isinstance(inputs, list):
            for sample in data_samples if self.metainfo else ():
                sample.set_metainfo(self.metainfo)
            return self.predict(inputs, data_samples)
        return super().forward(inputs, data_samples, mode)

    def predict(
        self, inputs: Union[Tensor, List[Tensor]], data_samples: Sequence[Any]
    ) -> Any:
        """Predict people in the pixels of the original images.

        Args:
            inputs (Tensor | list[Tensor]): Images, or their pyramid in the
                order of the samples' ``pyramid_scales``.
            data_samples (Sequence[PoseDataSample]): Of equal ``input_size``.

        Returns:
            list[PoseDataSample]: With ``pred_instances``.
        """
        pyramid = inputs if isinstance(inputs, list) else [inputs]
        info = data_samples[0].metainfo
        scales = info.get('pyramid_scales', [1.0])
        _check_sizes(pyramid, scales, data_samples)
        flip_indices = info.get('flip_indices')
        levels = self.test_cfg.get('heatmap_levels', (0, 1))
        size, scale_factor = decoded_size(
            info['input_size'], self.test_cfg.get('upsample_heatmaps', True)
        )
        maps = [
            self.head.test_maps(
                *self._views(images), size, flip_indices, levels
            )
            for images in pyramid
        ]
        heatmaps = maps[0][0]
        if len(maps) > 1:
            heatmaps = torch.stack([m[0] for m in maps]).mean(dim=0)
        tags = maps[list(scales).index(1.0)][1]
        instances = self.head.decode((heatmaps, tags), scale_factor)
        fields = None
        if self.test_cfg.get('output_heatmaps', False):
            fields = [PixelData(heatmaps=maps) for maps in heatmaps]
        return self.add_pred_to_datasample(instances, fields, data_samples)

    def _views(self, images: Tensor) -> tuple:
        """Features of the images and, in a flip test, of their mirrors."""
        feats = self.extract_feat(images)
        if not self.test_cfg.get('flip_test', False):
            return feats, None
        return feats, self.extract_feat(images.flip(-1))


def _check_sizes(
    pyramid: List[Tensor], scales: Sequence[float], data_samples: Sequence[Any]
) -> None:
    sizes = {tuple(s.metainfo['input_size']) for s in data_samples}
    if len(sizes) > 1:
        raise ValueError(
            f'a batch holds test images of sizes {sorted(sizes)} (w, h); set '
            'batch_size=1 in the test dataloader, or its batch_sampler to '
            "dict(type='EqualSizeBatchSampler')"
        )
    if len(pyramid) != len(scales):
        raise ValueError(
            f'got a pyramid of {len(pyramid)} images for the '
            f'scales {list(scales)}'
        )

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The model at test time as an ONNX file that :mod:`.runtime` runs.

Needs ``onnx`` and ``onnxscript``, the extra ``export`` of the package.

B images, K keypoints, L tag dimensions.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from pathlib import Path
from typing import Any, Tuple

import onnx
import torch
from mmpose.registry import DATASETS
from torch import Tensor, nn

from swahr_mmpose.deploy.runtime.metadata import FORMAT, KEY, Codec, Settings
from swahr_mmpose.models.heads.fusion import (
    decoded_size,
    fuse_levels,
    merge_flipped,
)
from swahr_mmpose.structures import HeadOutput

__all__ = [
    'PoseGraph',
    'copy_runtime',
    'export_model',
    'settings_of',
    'write_settings',
]

# Both sides of an input are multiples of it, as resized_geometry makes them.
SIZE_FACTOR = 64


class PoseGraph(nn.Module):
    """What of the model is exported: from images to maps.

    Without the scale branch, which testing does not run.

    Args:
        model (nn.Module): A ``BottomupPyramidPoseEstimator``.
        settings (Settings): Those of the file.
    """

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        super().__init__()
        self.model: Any = model
        self.settings = settings

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        """Run the network.

        Args:
            images (Tensor): Normalised, (B, 3, H, W).

        Returns:
            tuple[Tensor, ...]: Heatmaps (B, K, H / stride, W / stride) and
            tags (B, L*K, H/4, W/4) where the settings say ``fused``; else
            heatmaps at 1/4 and 1/2 and tags at 1/4, of the images as they
            are.
        """
        s, size = self.settings, images.shape[-2:]
        both = s.fused and s.flip_test
        if both:
            images = torch.cat([images, images.flip(-1)])
        feats = self.model.extract_feat(images)
        output = self.model.head.forward(feats, with_scale_maps=False)
        if not s.fused:
            return (*output.heatmaps, output.tags)
        if both:
            output = merge_flipped(*_halves(output), s.flip_indices)
        cells = [n // s.stride for n in size]
        return fuse_levels(output, cells, s.heatmap_levels)


def _halves(output: HeadOutput) -> Tuple[HeadOutput, HeadOutput]:
    """Of a batch of images and their mirror images."""
    maps = [m.tensor_split(2) for m in (*output.heatmaps, output.tags)]
    first, second = (
        HeadOutput([m[i] for m in maps[:-1]], maps[-1][i], None)
        for i in (0, 1)
    )
    return first, second


def settings_of(cfg: Any, model: Any, fused: bool = True) -> Settings:
    """What the runtime has to know, from a config and its model.

    Args:
        cfg (Config): The whole config.
        model (nn.Module): Its model.
        fused (bool): Whether views and levels become one in the graph.

    Raises:
        ValueError: If it tests at several scales, does not resize by
            ``BottomupPyramidResize``, or mixes coordinate conventions.
    """
    dataset = cfg.test_dataloader.dataset
    resize, codec = _resize_step(dataset.pipeline), model.head.decoder
    unbiased = resize.get('unbiased', False)
    if unbiased != codec.unbiased:
        raise ValueError(
            f'the codec has unbiased={codec.unbiased}, but '
            f'BottomupPyramidResize unbiased={unbiased}; give both the same'
        )
    info = DATASETS.get(dataset.type)._load_metainfo(dataset.get('metainfo'))
    mean, std, order = _normalization(model.data_preprocessor)
    test_cfg = model.test_cfg
    _, stride = decoded_size((0, 0), test_cfg.get('upsample_heatmaps', True))
    return Settings(
        format=FORMAT,
        input_size=int(resize['input_size'][0]),
        size_factor=SIZE_FACTOR,
        unbiased=unbiased,
        mean=mean,
        std=std,
        channel_order=order,
        keypoints=[
            name for _, name in sorted(info['keypoint_id2name'].items())
        ],
        skeleton=[list(map(int, link)) for link in info['skeleton_links']],
        flip_indices=list(map(int, info['flip_indices'])),
        flip_test=bool(test_cfg.get('flip_test', False)),
        fused=fused,
        heatmap_levels=list(test_cfg.get('heatmap_levels', (0, 1))),
        stride=int(stride),
        finest_stride=round(codec.input_size[0] / codec.heatmap_sizes[-1][0]),
        codec=Codec(
            keypoint_order=codec.decode_keypoint_order,
            nms_kernel=codec.decode_nms_kernel,
            keypoint_thr=codec.decode_keypoint_thr,
            tag_thr=codec.decode_tag_thr,
            topk=codec.decode_topk,
            max_instances=codec.decode_max_instances,
        ),
    )


def _resize_step(pipeline: Any) -> Any:
    """The one transform that resizes, as the config has it."""
    steps = [s for s in pipeline if s['type'] == 'BottomupPyramidResize']
    if len(steps) != 1:
        raise ValueError(
            'the test pipeline must have one BottomupPyramidResize, got '
            f'{[s["type"] for s in pipeline]}'
        )
    scales = list(steps[0].get('scales', (1.0,)))
    if scales != [1.0]:
        raise ValueError(
            f'the config tests at scales {scales}, and a graph is for one; '
            'export with the config without multi-scale in its name (its '
            'checkpoint is the same)'
        )
    return steps[0]


def _normalization(preprocessor: Any) -> Tuple[list, list, str]:
    """Mean, deviation and channel order of the network."""
    order = 'rgb' if preprocessor._channel_conversion else 'bgr'
    if not preprocessor._enable_normalize:
        return [0.0] * 3, [1.0] * 3, order
    mean, std = (
        [float(f'{value:.7g}') for value in values.flatten().tolist()]
        for values in (preprocessor.mean, preprocessor.std)
    )
    return mean, std, order


def export_model(
    model: nn.Module, settings: Settings, path: str, opset: int = 18
) -> None:
    """Write the graph of a model, for any batch, height and width.

    Args:
        model (nn.Module): The estimator, in evaluation mode, on the CPU.
        settings (Settings): Its own, from :func:`settings_of`.
        path (str): File to write, whole or not at all.
        opset (int): Version of ONNX's operators.
    """
    names = ['heatmaps', 'tags']
    if not settings.fused:
        names = ['heatmaps_0', 'heatmaps_1', 'tags']
    sides = {
        axis: SIZE_FACTOR * torch.export.Dim(name, min=1, max=256)
        for axis, name in ((2, 'height'), (3, 'width'))
    }
    batch = torch.export.Dim('batch', min=1, max=1024)
    # It warns of torchvision, which is not needed.
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')
        program = torch.onnx.export(
            PoseGraph(model, settings).eval(),
            (torch.zeros(2, 3, 2 * SIZE_FACTOR, 3 * SIZE_FACTOR),),
            dynamo=True,
            input_names=['images'],
            output_names=names,
            opset_version=opset,
            dynamic_shapes=dict(images={0: batch, **sides}),
            verbose=False,
        )
    assert program is not None
    proto = _without_traces(program.model_proto)
    write_settings(proto, settings, path)


def _without_traces(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Without lines of source code and folders of this machine."""
    parts = [proto.graph, *proto.graph.node, *proto.graph.value_info]
    parts += [*proto.graph.input, *proto.graph.output]
    parts += [*proto.graph.initializer, *proto.functions]
    for part in parts:
        part.doc_string = ''
        del part.metadata_props[:]
    return proto


def write_settings(
    proto: onnx.ModelProto, settings: Settings, path: str
) -> None:
    """Write a model file with its settings, whole or not at all."""
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {KEY: settings.to_json()})
    onnx.checker.check_model(proto)
    temporary = f'{path}.part{os.getpid()}'
    try:
        onnx.save(proto, temporary)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def copy_runtime(folder: str) -> str:
    """Copy what runs a model file, and needs no more of the package.

    Args:
        folder (str): Where to put the folder ``swahr_runtime``; files that
            are there already are replaced.

    Returns:
        str: The new folder.
    """
    target = os.path.join(folder, 'swahr_runtime')
    shutil.copytree(
        Path(__file__).parent / 'runtime',
        target,
        ignore=shutil.ignore_patterns('__pycache__'),
        dirs_exist_ok=True,
    )
    return target

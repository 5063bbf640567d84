# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Export of a model to an ONNX file that :mod:`.runtime` runs.

Requires ``onnx`` and ``onnxscript``, the extra ``export`` of the package.

B images, K keypoints, L tag dimensions.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple

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
from swahr_mmpose.utils.atomic_write import replaced_file

__all__ = [
    'PoseGraph',
    'build_settings',
    'copy_runtime',
    'export_model',
    'write_settings',
]

# Divides both sides of an input, as in resized_geometry.
SIZE_FACTOR = 64
# Maximum side of an input, in multiples of it.
_MAX_FACTOR = 256
# Lowest operator sets that torch's tracer and its newer exporter write; older
# ones lack bilinear interpolation as torch defines it.
_LOWEST_OPSET, _LOWEST_DYNAMO = 11, 18


class PoseGraph(nn.Module):
    """Exported part of a model, from images to maps.

    The scale branch is included with ``settings.output_scales`` only.

    Args:
        model (nn.Module): A ``BottomupPyramidPoseEstimator``.
        settings (Settings): Settings of the file.
    """

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        super().__init__()
        self.model: Any = model
        self.settings = settings

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        """Run the network.

        Args:
            images (Tensor): Normalized images, shape (B, 3, H, W).

        Returns:
            tuple[Tensor, ...]: With ``settings.fused`` heatmaps
            (B, K, H / stride, W / stride) and tags (B, L*K, H/4, W/4), else
            the heatmaps of each level (at 1/4, 1/2, ...) and the tags at 1/4,
            without flip test. With ``settings.output_scales`` also the scale
            maps of the finest level, (B, K, h, w).
        """
        s, size = self.settings, images.shape[-2:]
        batch, flip_test = images.shape[0], s.fused and s.flip_test
        if flip_test:
            images = torch.cat([images, images.flip(-1)])
        feats = self.model.extract_feat(images)
        output = self.model.head.forward(
            feats, with_scale_maps=s.output_scales
        )
        if not s.fused:
            return (*output.heatmaps, output.tags, *_finest_scales(output))
        if flip_test:
            output = merge_flipped(
                *_split_flipped(output, batch), s.flip_indices
            )
        cells = [n // s.stride for n in size]
        maps = fuse_levels(output, cells, s.heatmap_levels)
        return (*maps, *_finest_scales(output))


def _finest_scales(output: HeadOutput) -> Sequence[Tensor]:
    """Get the scale maps of the finest level, if there are any."""
    return (output.scale_maps or [])[-1:]


def _split_flipped(
    output: HeadOutput, batch: int
) -> Tuple[HeadOutput, HeadOutput]:
    """Split the output of a batch into that of images and flipped images."""
    first, second = (
        HeadOutput(
            [m[part] for m in output.heatmaps],
            output.tags[part],
            output.scale_maps and [m[part] for m in output.scale_maps],
        )
        for part in (slice(batch), slice(batch, None))
    )
    return first, second


def build_settings(
    cfg: Any, model: Any, fused: bool, ignore_orientation: bool = False
) -> Settings:
    """Build the settings of the runtime from a config and its model.

    Args:
        cfg (Config): Complete config.
        model (nn.Module): Model of the config.
        fused (bool): Whether the graph includes flip test and fusion of
            levels.
        ignore_orientation (bool): Whether the test pipeline ignores the EXIF
            orientation of image files. Defaults to False.

    Returns:
        Settings: Settings of the file.

    Raises:
        ValueError: If the config tests at several scales, does not resize
            with ``BottomupPyramidResize``, mixes coordinate conventions, or
            uses what the runtime or the model does not have.
    """
    _check_features(model)
    dataset, codec = cfg.test_dataloader.dataset, model.head.decoder
    resize = _find_resize(dataset.pipeline, codec.unbiased)
    info = DATASETS.get(dataset.type)._load_metainfo(dataset.get('metainfo'))
    names = sorted(info['keypoint_id2name'].items())
    mean, std, order = _read_normalization(model.data_preprocessor)
    test_cfg, finest_stride = model.test_cfg, model.head.finest_stride
    upsample = test_cfg.get('upsample_heatmaps', True)
    _, stride = decoded_size((0, 0), upsample, finest_stride)
    levels = test_cfg.get('heatmap_levels')
    if levels is None:
        levels = range(len(model.head.final_layers))
    return Settings(
        format=FORMAT,
        input_size=int(resize['input_size'][0]),
        size_factor=SIZE_FACTOR,
        unbiased=codec.unbiased,
        mean=mean,
        std=std,
        channel_order=order,
        keypoints=[name for _, name in names],
        skeleton=[list(map(int, link)) for link in info['skeleton_links']],
        flip_indices=list(map(int, info['flip_indices'])),
        flip_test=bool(test_cfg.get('flip_test', False)),
        fused=fused,
        heatmap_levels=list(levels),
        stride=int(stride),
        finest_stride=round(finest_stride),
        codec=_read_codec(codec),
        output_scales=bool(test_cfg.get('output_scales', False)),
        sigma=float(codec.sigma),
        ignore_orientation=ignore_orientation,
    )


def _check_features(model: Any) -> None:
    """Raise ValueError for a feature that cannot be exported."""
    assignment = getattr(model.head.decoder, 'decode_assignment', 'nearest')
    if assignment != 'nearest':
        raise ValueError(
            f'got decode_assignment={assignment!r}, but the runtime has '
            "'nearest' only; export with --cfg-options "
            'model.head.decoder.decode_assignment=nearest'
        )
    if model.test_cfg.get('output_scales') and not model.head.scale_layers:
        raise ValueError(
            'test_cfg.output_scales is True, but the head has no scale branch '
            '(scale_maps=False); use a SAHR or SWAHR model, or export without '
            'scales'
        )


def _read_codec(codec: Any) -> Codec:
    """Read the decoding settings of a codec."""
    return Codec(
        keypoint_order=codec.decode_keypoint_order,
        nms_kernel=codec.decode_nms_kernel,
        keypoint_thr=codec.decode_keypoint_thr,
        tag_thr=codec.decode_tag_thr,
        topk=codec.decode_topk,
        max_instances=codec.decode_max_instances,
        fill_missing=bool(getattr(codec, 'decode_fill_missing', True)),
    )


def _find_resize(pipeline: Any, unbiased: bool) -> Any:
    """Find the resizing transform of a test pipeline config and check it."""
    steps = [s for s in pipeline if s['type'] == 'BottomupPyramidResize']
    if len(steps) != 1:
        raise ValueError(
            'expected a test pipeline with one BottomupPyramidResize, got '
            f'{[s["type"] for s in pipeline]}'
        )
    scales = list(steps[0].get('scales', (1.0,)))
    if scales != [1.0]:
        raise ValueError(
            f'got a config that tests at scales {scales}, expected scale '
            '1.0 only; use the config without multi-scale in its name, the '
            'checkpoint is the same'
        )
    if steps[0].get('unbiased', False) != unbiased:
        raise ValueError(
            f'got unbiased={unbiased} for the codec, but unbiased='
            f'{not unbiased} for BottomupPyramidResize; set both to the same '
            'value'
        )
    return steps[0]


def _read_normalization(preprocessor: Any) -> Tuple[list, list, str]:
    """Read mean, standard deviation and channel order of the network."""
    order = 'rgb' if preprocessor._channel_conversion else 'bgr'
    if not preprocessor._enable_normalize:
        return [0.0] * 3, [1.0] * 3, order
    mean, std = (
        [float(f'{value:.7g}') for value in values.flatten().tolist()]
        for values in (preprocessor.mean, preprocessor.std)
    )
    return mean, std, order


def export_model(
    model: Any,
    settings: Settings,
    path: str,
    opset: int,
    input_shape: Optional[Sequence[int]] = None,
) -> None:
    """Export a model for any batch size, height and width, or a fixed size.

    Height and width are multiples of 64 pixels. The file is written
    atomically.

    Args:
        model (nn.Module): Pose estimator in evaluation mode, on the CPU.
        settings (Settings): Settings of the model, from
            :func:`build_settings`.
        path (str): ONNX file to write.
        opset (int): ONNX operator set version.
        input_shape (Sequence[int], optional): Fixed height and width of the
            input in pixels, with one image per batch. Defaults to None, any.

    Raises:
        ValueError: If the exporter does not support the operator set, or the
            shape is not valid.
    """
    _check_input_shape(input_shape)
    highest = onnx.defs.onnx_opset_version()
    if not _LOWEST_OPSET <= opset <= highest:
        raise ValueError(
            f'got ONNX operator set {opset}, expected {_LOWEST_OPSET} to '
            f'{highest}; use --opset 18'
        )
    names = ['heatmaps', 'tags']
    if not settings.fused:
        levels = range(len(model.head.final_layers))
        names = [*(f'heatmaps_{level}' for level in levels), 'tags']
    names += ['scale_maps'] * settings.output_scales
    graph = PoseGraph(model, settings).eval()
    export = _export_program if opset >= _LOWEST_DYNAMO else _export_trace
    # Suppress the warning that torchvision is missing; it is not needed.
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter('ignore')
        try:
            proto = export(graph, names, opset, input_shape)
        except (RuntimeError, ValueError) as error:
            raise ValueError(_describe_opset(opset, error)) from error
    written = [o.version for o in proto.opset_import if o.domain == '']
    if written != [opset]:
        raise ValueError(_describe_opset(opset, f'it writes {written}'))
    write_settings(_strip_debug_info(proto), settings, path)


def _check_input_shape(shape: Optional[Sequence[int]]) -> None:
    """Raise ValueError for a fixed height or width out of range."""
    limit = SIZE_FACTOR * _MAX_FACTOR
    if shape is not None and any(
        n % SIZE_FACTOR or not 0 < n <= limit for n in shape
    ):
        raise ValueError(
            f'got an input shape of {list(shape)}, expected height and width '
            f'that are multiples of {SIZE_FACTOR} up to {limit}'
        )


def _describe_opset(opset: int, reason: Any) -> str:
    """Format the message for an operator set that cannot be written."""
    first = (str(reason).splitlines() or [type(reason).__name__])[0]
    return (
        f'torch {torch.__version__} cannot export this model to ONNX operator '
        f'set {opset} ({first[:200]}); use --opset 18'
    )


def _export_program(
    graph: PoseGraph,
    names: Sequence[str],
    opset: int,
    input_shape: Optional[Sequence[int]],
) -> onnx.ModelProto:
    """Export with ``torch.export``, which writes operator sets from 18."""
    size, shapes = input_shape, None
    if size is None:
        # Not square, so that both sides stay independent.
        size = 2 * SIZE_FACTOR, 3 * SIZE_FACTOR
        sides = {
            axis: SIZE_FACTOR * torch.export.Dim(name, min=1, max=_MAX_FACTOR)
            for axis, name in ((2, 'height'), (3, 'width'))
        }
        batch = torch.export.Dim('batch', min=1, max=1024)
        shapes = dict(images={0: batch, **sides})
    program = torch.onnx.export(
        graph,
        (torch.zeros(2 if shapes else 1, 3, *size),),
        dynamo=True,
        input_names=['images'],
        output_names=names,
        opset_version=opset,
        dynamic_shapes=shapes,
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def _export_trace(
    graph: PoseGraph,
    names: Sequence[str],
    opset: int,
    input_shape: Optional[Sequence[int]],
) -> onnx.ModelProto:
    """Export with the tracer, which writes older operator sets."""
    size = input_shape or (2 * SIZE_FACTOR, 3 * SIZE_FACTOR)
    axes = {0: 'batch', 2: '64*height', 3: '64*width'}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'model.onnx')
        torch.onnx.export(
            graph,
            (torch.zeros(1 if input_shape else 2, 3, *size),),
            path,
            dynamo=False,
            input_names=['images'],
            output_names=names,
            opset_version=opset,
            dynamic_axes=None if input_shape else dict(images=axes),
        )
        return onnx.load(path)


def _strip_debug_info(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Remove source lines and local paths from a graph."""
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
    """Write an ONNX file with settings, atomically.

    Args:
        proto (onnx.ModelProto): Model; its metadata are replaced.
        settings (Settings): Settings of the model.
        path (str): ONNX file to write.
    """
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {KEY: settings.to_json()})
    onnx.checker.check_model(proto)
    with replaced_file(path) as stream:
        onnx.save(proto, stream)


def copy_runtime(folder: str) -> str:
    """Copy the runtime, which needs nothing else of the package.

    Args:
        folder (str): Folder of the copy ``swahr_runtime``; existing files are
            replaced.

    Returns:
        str: Path of the copy.
    """
    target = os.path.join(folder, 'swahr_runtime')
    shutil.copytree(
        Path(__file__).parent / 'runtime',
        target,
        ignore=shutil.ignore_patterns('__pycache__'),
        dirs_exist_ok=True,
    )
    return target

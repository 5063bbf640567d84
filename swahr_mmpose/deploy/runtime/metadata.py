# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What a model file says about itself."""

from __future__ import annotations

import json
from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple, Type

__all__ = ['FORMAT', 'KEY', 'Codec', 'Settings', 'read_settings']

# Where in the metadata of an ONNX file the settings stand, and which of their
# formats this code reads and writes.
KEY, FORMAT = 'swahr_mmpose', 1


class Codec(NamedTuple):
    """How people are decoded: the ``decode_*`` of the codec."""

    keypoint_order: Sequence[int]
    nms_kernel: int
    keypoint_thr: float
    tag_thr: float
    topk: int
    max_instances: Optional[int]


class Settings(NamedTuple):
    """Everything that is needed to run a model.

    Attributes:
        format (int): Of these settings.
        input_size (int): Short side of the network's input in pixels.
        size_factor (int): Both sides are multiples of it.
        unbiased (bool): The exact coordinate convention, or the official one.
        mean (Sequence[float]): Of each channel, in the network's order.
        std (Sequence[float]): Likewise.
        channel_order (str): ``'rgb'`` or ``'bgr'``, the network's.
        keypoints (Sequence[str]): K names.
        skeleton (Sequence[Sequence[int]]): Pairs of keypoints to draw.
        flip_indices (Sequence[int]): The mirror partner of each keypoint.
        flip_test (bool): Whether the mirrored image counts as well.
        fused (bool): Whether the graph does that, and makes one heatmap of
            its levels: outputs ``heatmaps`` (B, K, H, W) and ``tags`` (B,
            L*K, h, w); else ``heatmaps_0``, ``heatmaps_1``, ``tags``.
        heatmap_levels (Sequence[int]): Which levels count.
        stride (int): Pixels of the input per cell of the fused heatmaps.
        finest_stride (int): Those of the network's finest level.
        codec (Codec): See there.
    """

    format: int
    input_size: int
    size_factor: int
    unbiased: bool
    mean: Sequence[float]
    std: Sequence[float]
    channel_order: str
    keypoints: Sequence[str]
    skeleton: Sequence[Sequence[int]]
    flip_indices: Sequence[int]
    flip_test: bool
    fused: bool
    heatmap_levels: Sequence[int]
    stride: int
    finest_stride: int
    codec: Codec

    def to_json(self) -> str:
        """As it stands in a file."""
        return json.dumps(dict(self._asdict(), codec=self.codec._asdict()))


def read_settings(metadata: Mapping[str, str], path: str = '') -> Settings:
    """The settings in the metadata of an ONNX file.

    Args:
        metadata (Mapping[str, str]): All of it.
        path (str): Of the file, for messages.

    Raises:
        ValueError: If they are not there, of another format, or incomplete.
    """
    remedy = 'export the model again with tools/deployment/export_onnx.py'
    if KEY not in metadata:
        raise ValueError(
            f'{path}: no metadata {KEY!r}, got {sorted(metadata)}; {remedy}'
        )
    try:
        content = json.loads(metadata[KEY])
        version = content['format']
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f'{path}: metadata {KEY!r} are no settings '
            f'({type(error).__name__}: {error}); {remedy}'
        ) from error
    if version != FORMAT:
        raise ValueError(
            f'{path}: settings of format {version}, expected {FORMAT}; '
            f'{remedy}, or take the runtime that came with the file'
        )
    codec = _complete(Codec, content.get('codec', {}), 'codec.', path, remedy)
    whole = dict(content, codec=codec)
    return _complete(Settings, whole, '', path, remedy)


def _complete(
    kind: Type[Any], content: Any, prefix: str, path: str, remedy: str
) -> Any:
    """A named tuple of its fields; others, of later versions, are left."""
    fields: Tuple[str, ...] = kind._fields
    lacking = [prefix + f for f in fields if f not in content]
    if lacking:
        raise ValueError(
            f'{path}: metadata {KEY!r} lack {", ".join(lacking)}; {remedy}'
        )
    return kind(**{f: content[f] for f in fields})

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Settings of an exported model, JSON in the metadata of the ONNX file."""

from __future__ import annotations

import json
from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple, Type

from .validation import find_problem

__all__ = ['FORMAT', 'KEY', 'Codec', 'Settings', 'read_settings']

# Metadata key of the settings, and the version that this code writes. It also
# reads version 1, which lacks the settings that have defaults here.
KEY, FORMAT = 'swahr_mmpose', 2
_READABLE = (1, FORMAT)
# Maximum number of characters of the settings.
_MAX_LENGTH = 1 << 20


class Codec(NamedTuple):
    """Decoding settings, the ``decode_*`` arguments of the codec."""

    keypoint_order: Sequence[int]
    nms_kernel: int
    keypoint_thr: float
    tag_thr: float
    topk: int
    max_instances: Optional[int]
    fill_missing: bool = True


class Settings(NamedTuple):
    """Settings that are needed to run a model.

    Attributes:
        format (int): Version of the settings.
        input_size (int): Short side of the network input in pixels.
        size_factor (int): Number that divides both sides of the input.
        unbiased (bool): Whether to use the exact coordinate convention
            instead of the official one.
        mean (Sequence[float]): Mean per channel, in network order.
        std (Sequence[float]): Standard deviation per channel, in network
            order.
        channel_order (str): Channel order of the network, ``'rgb'`` or
            ``'bgr'``.
        keypoints (Sequence[str]): K keypoint names.
        skeleton (Sequence[Sequence[int]]): Skeleton edges, pairs of keypoint
            indices.
        flip_indices (Sequence[int]): Index of the mirrored counterpart of
            each keypoint.
        flip_test (bool): Whether to use the flip test.
        fused (bool): Whether the graph computes flip test and fusion of
            levels. Outputs are ``heatmaps`` (B, K, H, W) and ``tags``
            (B, L*K, h, w) if True, else ``heatmaps_0``, ``heatmaps_1``, ...
            and ``tags``.
        heatmap_levels (Sequence[int]): Indices of the levels that are
            averaged.
        stride (int): Input pixels per cell of the fused heatmaps.
        finest_stride (int): Input pixels per cell of the finest level.
        codec (Codec): Decoding settings.
        output_scales (bool): Whether the graph has another last output
            ``scale_maps``, alpha of the finest level, shape (B, K, h, w).
        sigma (float): Standard deviation of the training targets in cells,
            sigma_0.
        ignore_orientation (bool): Whether image files are read without
            applying their EXIF orientation.
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
    output_scales: bool = False
    sigma: float = 2.0
    ignore_orientation: bool = False

    def to_json(self) -> str:
        """Convert to the JSON text that is stored in the file."""
        return json.dumps(dict(self._asdict(), codec=self.codec._asdict()))


def read_settings(metadata: Mapping[str, str], path: str) -> Settings:
    """Read the settings from the metadata of an ONNX file.

    Args:
        metadata (Mapping[str, str]): Metadata of the file.
        path (str): Path of the file for messages.

    Returns:
        Settings: Settings of the model.

    Raises:
        ValueError: If they are missing, of another version, incomplete, of
            wrong types or out of range.
    """
    remedy = 'export the model again with tools/deployment/export_onnx.py'
    if KEY not in metadata:
        raise ValueError(
            f'{path}: no metadata {KEY!r}, got {sorted(metadata)}; {remedy}'
        )
    try:
        if len(metadata[KEY]) > _MAX_LENGTH:
            raise ValueError(f'{len(metadata[KEY])} characters')
        content = json.loads(metadata[KEY])
        version = content['format']
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f'{path}: metadata {KEY!r} are not settings '
            f'({type(error).__name__}: {error}); {remedy}'
        ) from error
    if version not in _READABLE:
        raise ValueError(
            f'{path}: got settings of format {ascii(version)[:60]}, expected '
            f'one of {_READABLE}; {remedy}, or use the swahr_runtime that was '
            'exported with the file'
        )
    codec = _build(Codec, content.get('codec', {}), 'codec.', path, remedy)
    settings: Settings = _build(
        Settings, dict(content, codec=codec), '', path, remedy
    )
    problem = find_problem(settings)
    if problem:
        raise ValueError(f'{path}: metadata {KEY!r}: {problem}; {remedy}')
    return settings


def _build(
    kind: Type[Any], content: Any, prefix: str, path: str, remedy: str
) -> Any:
    """Build a named tuple; keys that it lacks are ignored."""
    fields: Tuple[str, ...] = kind._fields
    content = content if isinstance(content, dict) else {}
    known = {**kind._field_defaults, **content}
    missing = [prefix + f for f in fields if f not in known]
    if missing:
        raise ValueError(
            f'{path}: metadata {KEY!r} lack {", ".join(missing)}; {remedy}'
        )
    return kind(**{f: known[f] for f in fields})

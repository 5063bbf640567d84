# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Conversion of an exported model to half precision or 8-bit integers.

Requires ``onnx`` and ``onnxruntime``, of the extra ``export`` of the package.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from typing import Any, Iterable, Iterator, List, Optional, Tuple

import numpy as np
import onnx
from onnxruntime import quantization
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from .onnx_export import write_settings
from .runtime import PoseModel

__all__ = ['to_float16', 'to_int8']

_FLOAT = onnx.TensorProto.FLOAT


def to_float16(source: str, target: str) -> None:
    """Convert weights and layers to half precision.

    Input and outputs stay float32, and so do the last convolution of each
    output and the nodes after it: in half precision neighbouring cells of a
    heatmap become equal, and each of them a peak.

    Args:
        source (str): ONNX file in float32.
        target (str): ONNX file to write; may be ``source``.
    """
    settings = PoseModel(source, ['CPUExecutionProvider']).settings
    proto = onnx.load(source)
    last, following = _find_last_convolutions(proto.graph)
    proto = convert_float_to_float16(
        proto, keep_io_types=True, node_block_list=last + following
    )
    _remove_double_casts(proto.graph)
    OnnxModel(proto).topological_sort()  # input casts were appended
    write_settings(proto, settings, target)


def _remove_double_casts(graph: Any) -> None:
    """Remove casts from float32 to half precision and back."""
    casts = {
        node.output[0]: node for node in graph.node if node.op_type == 'Cast'
    }
    for node in casts.values():
        previous = casts.get(node.input[0])
        if (
            previous is not None
            and node.attribute[0].i == _FLOAT
            and previous.attribute[0].i == onnx.TensorProto.FLOAT16
        ):
            node.input[0] = previous.input[0]
    used = {output.name for output in graph.output}
    used.update(name for node in graph.node for name in node.input)
    for name, node in casts.items():
        if name not in used:
            graph.node.remove(node)


class _CalibrationInputs(quantization.CalibrationDataReader):
    """Network inputs of calibration images."""

    def __init__(self, model: PoseModel, images: Iterable[np.ndarray]) -> None:
        self._model = model
        self._images = iter(images)

    def get_next(self) -> Optional[dict]:
        """Preprocess the next image to (1, 3, H, W); None at the end."""
        image = next(self._images, None)
        if image is None:
            return None
        return dict(images=self._model.preprocess([image])[0])


def to_int8(source: str, target: str, images: Iterable[np.ndarray]) -> None:
    """Quantize convolutions to 8-bit integers, with calibrated ranges.

    Weights are quantized per channel. The last convolution of each output and
    the nodes after it stay in float32: heatmaps and tags are its sums, and
    tags are unbounded.

    Args:
        source (str): ONNX file in float32.
        target (str): ONNX file to write; may be ``source``.
        images (Iterable[np.ndarray]): Calibration images of the target
            domain, BGR uint8 (h, w, 3).
    """
    model = PoseModel(source, ['CPUExecutionProvider'])
    last, _ = _find_last_convolutions(onnx.load(source).graph)
    types = quantization.QuantType
    with tempfile.TemporaryDirectory() as folder, _silence_root_logger():
        path = os.path.join(folder, 'model.onnx')
        quantization.quantize_static(
            source,
            path,
            _CalibrationInputs(model, images),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=['Conv'],
            nodes_to_exclude=last,
            per_channel=True,
            activation_type=types.QUInt8,
            weight_type=types.QInt8,
        )
        write_settings(onnx.load(path), model.settings, target)


@contextlib.contextmanager
def _silence_root_logger() -> Iterator[None]:
    """Suppress the hints that the quantizer logs on the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _find_last_convolutions(graph: Any) -> Tuple[List[str], List[str]]:
    """Find the last convolutions of a graph and the nodes after them.

    Args:
        graph (onnx.GraphProto): Graph whose nodes all have names.

    Returns:
        tuple[list[str], list[str]]: Names of the convolutions that are the
        last ones before an output, and of the nodes after them.
    """
    producers = {name: node for node in graph.node for name in node.output}
    pending = [output.name for output in graph.output]
    visited = set(pending)
    last, following = set(), set()
    while pending:
        node = producers.get(pending.pop())
        if node is None:
            continue
        if node.op_type == 'Conv':
            last.add(node.name)
            continue
        following.add(node.name)
        pending += [name for name in node.input if name not in visited]
        visited.update(node.input)
    return sorted(last), sorted(following)

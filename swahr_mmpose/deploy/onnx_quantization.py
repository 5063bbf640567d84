# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Smaller forms of an exported model: half precision and 8-bit integers.

Needs ``onnx`` and ``onnxruntime``, of the extra ``export`` of the package.
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
    """Weights and layers in half precision; input and outputs stay float32.

    So do the last convolution of each output and all that follows: in half
    precision neighbouring cells of a heatmap become equal, and each a peak.

    Args:
        source (str): Model file in float32.
        target (str): File to write; it may be the same.
    """
    settings = PoseModel(source, ['CPUExecutionProvider']).settings
    proto = onnx.load(source)
    last, behind = end_of_graph(proto.graph)
    proto = convert_float_to_float16(
        proto, keep_io_types=True, node_block_list=last + behind
    )
    _without_detours(proto.graph)
    OnnxModel(proto).topological_sort()  # the casts of inputs come last
    write_settings(proto, settings, target)


def _without_detours(graph: Any) -> None:
    """What is cast to half precision only to be cast back stays as it is."""
    maker = {
        node.output[0]: node for node in graph.node if node.op_type == 'Cast'
    }
    for node in maker.values():
        before = maker.get(node.input[0])
        if (
            before is not None
            and node.attribute[0].i == _FLOAT
            and before.attribute[0].i == onnx.TensorProto.FLOAT16
        ):
            node.input[0] = before.input[0]
    used = {output.name for output in graph.output}
    used.update(name for node in graph.node for name in node.input)
    for name, node in maker.items():
        if name not in used:
            graph.node.remove(node)


class _Inputs(quantization.CalibrationDataReader):
    """The network's inputs of some images, one after the other."""

    def __init__(self, model: PoseModel, images: Iterable[np.ndarray]) -> None:
        self._model = model
        self._images = iter(images)

    def get_next(self) -> Optional[dict]:
        """One image (1, 3, H, W), or None at the end."""
        image = next(self._images, None)
        if image is None:
            return None
        return dict(images=self._model.preprocess([image])[0])


def to_int8(source: str, target: str, images: Iterable[np.ndarray]) -> None:
    """Convolutions in 8-bit integers, their ranges from some images.

    Weights are quantised by channel; the last convolution of each output and
    all that follows stay in float32: heatmaps and tags are its sums, and tags
    know no bounds.

    Args:
        source (str): Model file in float32.
        target (str): File to write; it may be the same.
        images (Iterable[np.ndarray]): uint8 (h, w, 3), BGR, like those that
            the model is for.
    """
    model = PoseModel(source, ['CPUExecutionProvider'])
    last, _ = end_of_graph(onnx.load(source).graph)
    kind = quantization.QuantType
    with tempfile.TemporaryDirectory() as folder, _quiet_root():
        path = os.path.join(folder, 'model.onnx')
        quantization.quantize_static(
            source,
            path,
            _Inputs(model, images),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=['Conv'],
            nodes_to_exclude=last,
            per_channel=True,
            activation_type=kind.QUInt8,
            weight_type=kind.QInt8,
        )
        write_settings(onnx.load(path), model.settings, target)


@contextlib.contextmanager
def _quiet_root() -> Iterator[None]:
    """Without the advice that the quantiser gives on the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def end_of_graph(graph: Any) -> Tuple[List[str], List[str]]:
    """The last convolutions of a graph, and what follows them.

    Args:
        graph (onnx.GraphProto): Of a model, all of its nodes named.

    Returns:
        tuple[list[str], list[str]]: Names of the convolutions after which
        there is none to some output, and of the nodes behind them.
    """
    maker = {name: node for node in graph.node for name in node.output}
    waiting = [output.name for output in graph.output]
    seen = set(waiting)
    last, behind = set(), set()
    while waiting:
        node = maker.get(waiting.pop())
        if node is None:
            continue
        if node.op_type == 'Conv':
            last.add(node.name)
            continue
        behind.add(node.name)
        waiting += [name for name in node.input if name not in seen]
        seen.update(node.input)
    return sorted(last), sorted(behind)

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Inference with an exported model on ONNX Runtime, NumPy and SciPy.

This folder imports nothing else of swahr_mmpose.
``tools/deployment/export_onnx.py`` copies it beside the model as
``swahr_runtime``; copy both to wherever the model runs::

    from swahr_runtime import PoseModel

    model = PoseModel('model.onnx')
    poses = model(image)                    # uint8 (h, w, 3), BGR
    poses.keypoints, poses.keypoint_scores, poses.scores

    python -m swahr_runtime model.onnx image.jpg --out-file people.json
    python -m swahr_runtime.server model.onnx --port 8000

With ``python -m``, modules beside a model are not imported, since a model may
come from an unknown source.
"""

from ._import_path import drop_unsafe_folders

# Before any import of another package.
drop_unsafe_folders()

from .metadata import Settings  # noqa: E402
from .pose_model import PoseModel, Poses  # noqa: E402

__all__ = ['PoseModel', 'Poses', 'Settings']

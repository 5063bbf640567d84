# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Run an exported model: ONNX Runtime, NumPy and SciPy, nothing else.

This folder uses nothing of the package that it lies in.
``tools/deployment/export_onnx.py`` copies it beside the model as ``swahr_runtime``, from
where it can be taken anywhere::

    from swahr_runtime import PoseModel

    model = PoseModel('model.onnx')
    poses = model(image)                    # uint8 (h, w, 3), BGR
    poses.keypoints, poses.keypoint_scores, poses.scores

    python -m swahr_runtime model.onnx image.jpg --out people.json
"""

from .metadata import Settings
from .pose_model import PoseModel, Poses

__all__ = ['PoseModel', 'Poses', 'Settings']

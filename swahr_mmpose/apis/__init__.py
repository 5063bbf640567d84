# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Model loading and inference on images, folders, videos and cameras."""

from .inferencer import Inferencer
from .loading import load_model
from .result import Result

__all__ = ['Inferencer', 'Result', 'load_model']

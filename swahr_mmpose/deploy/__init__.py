# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""ONNX export, quantization, and a runtime without MMPose and PyTorch."""

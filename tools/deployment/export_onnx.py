# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Export a model to ONNX, to run without MMPose and PyTorch.

The code is in :mod:`swahr_mmpose.commands.export_onnx`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.export_onnx import main

if __name__ == '__main__':
    main()

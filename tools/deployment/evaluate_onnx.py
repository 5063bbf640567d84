# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Evaluate an exported model on the test set of the config, and time it.

The code is in :mod:`swahr_mmpose.commands.evaluate_onnx`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.evaluate_onnx import main

if __name__ == '__main__':
    main()

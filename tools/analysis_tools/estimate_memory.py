# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Estimate the GPU memory of a training run, without a GPU.

The code is in :mod:`swahr_mmpose.commands.estimate_memory`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.estimate_memory import main

if __name__ == '__main__':
    main()

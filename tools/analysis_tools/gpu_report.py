# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check and measure a GPU or another accelerator.

The code is in :mod:`swahr_mmpose.commands.gpu_report`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.gpu_report import main

if __name__ == '__main__':
    main()

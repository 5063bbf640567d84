# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Overfit a few images to test the chain from data to decoding.

The code is in :mod:`swahr_mmpose.commands.overfit`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.overfit import main

if __name__ == '__main__':
    main()

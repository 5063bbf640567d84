# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Measure whether the learned scale follows the size of people.

The code is in :mod:`swahr_mmpose.commands.scale_statistics`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.scale_statistics import main

if __name__ == '__main__':
    main()

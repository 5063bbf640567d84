# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Detect people in images, folders, a video or a camera stream.

The code is in :mod:`swahr_mmpose.commands.infer`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.infer import main

if __name__ == '__main__':
    main()

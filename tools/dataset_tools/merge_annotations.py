# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Merge COCO annotation files into one.

The code is in :mod:`swahr_mmpose.commands.merge_annotations`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.merge_annotations import main

if __name__ == '__main__':
    main()

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Make a config for your own keypoints from a COCO-style annotation file.

The code is in :mod:`swahr_mmpose.commands.new_dataset`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.new_dataset import main

if __name__ == '__main__':
    main()

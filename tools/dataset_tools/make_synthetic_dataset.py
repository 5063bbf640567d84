# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Make a small COCO keypoint dataset of synthetic people or beetles.

The code is in :mod:`swahr_mmpose.commands.make_synthetic_dataset`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.make_synthetic_dataset import main

if __name__ == '__main__':
    main()

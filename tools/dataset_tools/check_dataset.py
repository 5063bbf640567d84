# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check an annotation file and its images before training.

The code is in :mod:`swahr_mmpose.commands.check_dataset`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.check_dataset import main

if __name__ == '__main__':
    main()

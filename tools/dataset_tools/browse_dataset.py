# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Draw training samples: augmentation, loss masks and targets of each level.

The code is in :mod:`swahr_mmpose.commands.browse_dataset`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.browse_dataset import main

if __name__ == '__main__':
    main()

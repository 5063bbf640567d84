# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Draw predicted poses and scale maps of test images.

The code is in :mod:`swahr_mmpose.commands.visualize`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.visualize import main

if __name__ == '__main__':
    main()

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Make a model zoo file from a training checkpoint.

The code is in :mod:`swahr_mmpose.commands.publish_model`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.publish_model import main

if __name__ == '__main__':
    main()

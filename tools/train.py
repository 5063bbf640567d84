# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Train a model.

The code is in :mod:`swahr_mmpose.commands.train`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.train import main

if __name__ == '__main__':
    main()

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Convert checkpoints of HigherHRNet and SWAHR between code bases.

The code is in :mod:`swahr_mmpose.commands.convert_checkpoint`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.convert_checkpoint import main

if __name__ == '__main__':
    main()

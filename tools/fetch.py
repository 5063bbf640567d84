# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Fetch published weights: download, verify, convert and check them.

The code is in :mod:`swahr_mmpose.commands.fetch`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.fetch import main

if __name__ == '__main__':
    main()

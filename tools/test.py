# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Test a model and report its metrics.

The code is in :mod:`swahr_mmpose.commands.test`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.test import main

if __name__ == '__main__':
    main()

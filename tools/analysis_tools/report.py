# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Test a model and write an HTML report of the evaluation.

The code is in :mod:`swahr_mmpose.commands.report`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.report import main

if __name__ == '__main__':
    main()

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Measure how the estimated standard deviations order the true errors.

The code is in :mod:`swahr_mmpose.commands.evaluate_uncertainty`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.evaluate_uncertainty import main

if __name__ == '__main__':
    main()

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Measure position errors of found keypoints and false peaks of heatmaps.

The code is in :mod:`swahr_mmpose.commands.measure_localization`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.measure_localization import main

if __name__ == '__main__':
    main()

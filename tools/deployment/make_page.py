# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Make a static page that runs an exported model in the browser.

The code is in :mod:`swahr_mmpose.commands.make_page`.
"""

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.commands.make_page import main

if __name__ == '__main__':
    main()

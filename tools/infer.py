# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Find people in pictures, a folder, a video or a camera's frames.

The code is in :mod:`swahr_mmpose.commands.infer`.
"""

from swahr_mmpose.commands.infer import main

if __name__ == '__main__':
    main()

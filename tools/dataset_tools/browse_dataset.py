# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Look at training samples: augmentation, masks, and targets of both levels.

The code is in :mod:`swahr_mmpose.commands.browse_dataset`.
"""

from swahr_mmpose.commands.browse_dataset import main

if __name__ == '__main__':
    main()

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""For ``tools/matrix.py``: which stacks, what is installed, the tables."""

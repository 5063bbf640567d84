# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Parts of the MMEngine runner."""

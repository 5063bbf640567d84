# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Commands of ``swahr`` and of ``tools/``: one module each, with ``main``."""

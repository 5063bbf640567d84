# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Settings of the study (ablation.py)."""

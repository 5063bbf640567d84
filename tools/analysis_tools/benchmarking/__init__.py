# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Rows of ``tools/analysis_tools/benchmark.py``."""

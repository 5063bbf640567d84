# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What tools/analysis_tools/benchmark.py measures, and how."""

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Tensor operations, atomic writes, command-line helpers."""

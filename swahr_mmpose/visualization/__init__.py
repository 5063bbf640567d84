# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Figures of poses, targets, scale maps and weights."""

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Drawings of poses, and figures of targets, scale maps and heatmaps."""

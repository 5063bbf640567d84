# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of configs, annotation files and image files before a run."""

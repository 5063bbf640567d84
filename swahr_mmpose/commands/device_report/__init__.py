# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Sections of ``swahr gpu-report``: what is checked and measured."""

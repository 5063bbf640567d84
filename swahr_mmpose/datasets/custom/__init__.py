# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Custom datasets: from a COCO-style file to metainfo and a config."""

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Keypoint codecs: Gaussian targets, associative-embedding decoding."""

from .associative_embedding import ScaleAwareAssociativeEmbedding

__all__ = ['ScaleAwareAssociativeEmbedding']

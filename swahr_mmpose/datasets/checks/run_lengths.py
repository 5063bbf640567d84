# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Compressed run lengths of COCO's masks (RLE)."""

from __future__ import annotations

from typing import List, Union

__all__ = ['decompress_run_lengths']

# Bits of a compressed run length before its last character.
_MAX_SHIFT = 60


def decompress_run_lengths(counts: Union[str, bytes]) -> List[int]:
    """Decompress the run lengths of COCO's compressed format.

    Each character holds 5 bits of a number, lowest bits first, a flag for
    more characters and an offset of 48. Negative numbers have the fifth bit
    of their last character set. From the fourth run, the difference to the
    run before the previous one is stored.

    Args:
        counts (str | bytes): ``counts`` of a mask.

    Returns:
        list[int]: Run lengths; not compared with the size of the mask.

    Raises:
        ValueError: If the string is truncated or has other characters.
    """
    data = counts.encode() if isinstance(counts, str) else counts
    lengths: List[int] = []
    value = shift = 0
    for index, code in enumerate(data):
        bits = code - 48
        if not 0 <= bits < 64 or shift > _MAX_SHIFT:
            raise ValueError(
                f'has compressed counts with {data[index : index + 1]!r} at '
                f'position {index}, expected run lengths of characters from '
                "'0' to 'o'"
            )
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError(
            f'has compressed counts of {len(data)} characters that end '
            'within a number, expected a complete string'
        )
    return lengths

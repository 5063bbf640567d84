# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The page of the web service, one file without external parts."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Dict, Tuple

__all__ = ['read_page']


@lru_cache(maxsize=None)
def read_page() -> Tuple[bytes, Dict[str, str]]:
    """Read the page.

    Returns:
        tuple[bytes, dict[str, str]]: HTML, and the headers with which it is
        sent. They forbid scripts but its own, and connections to other
        servers.
    """
    content = Path(__file__).with_name('page.html').read_bytes()
    match = re.search(b'<script>(.*?)</script>', content, re.DOTALL)
    assert match is not None
    digest = base64.b64encode(hashlib.sha256(match[1]).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; connect-src 'self'; "
        "img-src 'self' blob: data:; media-src 'self' blob: mediastream:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return content, {
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': policy,
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
    }

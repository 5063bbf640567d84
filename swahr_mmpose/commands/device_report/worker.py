# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Process that runs sections and writes their rows as JSON lines.

Sections run apart from the command, which ends them when their time is up
and starts another process after a crash. Events, one per line: ``start``
with the title and the budget, ``row``, and ``end`` with the seconds and,
after a failure, the traceback.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from typing import Any, TextIO

__all__ = ['main']

# Exit status if the device does not work any more.
BROKEN = 3


def main() -> None:
    """Run sections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('sections', nargs='+')
    parser.add_argument('--device', required=True)
    parser.add_argument('--events', required=True)
    parser.add_argument('--quick', action='store_true')
    args = parser.parse_args()
    with open(args.events, 'a', encoding='utf-8') as stream:
        for name in args.sections:
            _run_section(name, args, stream)


def _run_section(name: str, args: Any, stream: TextIO) -> None:
    """Run one section, whatever happens in it."""
    from .plan import Plan
    from .sections import QUICK, SECTIONS

    section = (QUICK if args.quick else SECTIONS)[name]
    _write(
        stream, event='start', title=section.title, budget=section.budget,
        section=name,
    )  # fmt: skip
    started = time.monotonic()
    plan = Plan(args.device, args.quick, started + section.budget)
    result = {}
    try:
        for row in section.run(plan):
            _write(stream, section=name, event='row', row=row)
    except Exception:
        result['error'] = traceback.format_exc()
    seconds = round(time.monotonic() - started, 1)
    _write(stream, section=name, event='end', seconds=seconds, **result)
    _free_memory(args.device)


def _write(stream: TextIO, **event: Any) -> None:
    """Write one event."""
    stream.write(json.dumps(event) + '\n')
    stream.flush()


def _free_memory(device: str) -> None:
    """Free memory of the section; exit if the device does not compute."""
    import gc

    import torch

    from swahr_mmpose.utils.device import require_device

    gc.collect()
    try:
        require_device(device)
        empty = getattr(
            getattr(torch, torch.device(device).type), 'empty_cache', None
        )
        if empty is not None:
            empty()
    except (RuntimeError, ValueError) as error:
        print(error)
        raise SystemExit(BROKEN) from error


if __name__ == '__main__':
    main()

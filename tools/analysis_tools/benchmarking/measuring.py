# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Time, memory and hardware."""

import platform
import statistics
import threading
import time
from pathlib import Path

import numpy as np
import torch

from swahr_mmpose.utils.device import (
    get_device_name,
    get_peak_memory,
    reset_peak_memory,
    synchronize,
)


def seconds(function, device):
    """Time one run in milliseconds."""
    synchronize(device)
    started = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - started


class PeakMemory:
    """Measure the additional memory of a function in MiB.

    Looked at every half millisecond; what the allocator had kept before does
    not show, so it is the least of the extra memory.
    """

    def __init__(self, device):
        self.device = device

    def __call__(self, function):
        """Run the function and return its additional memory."""
        if torch.device(self.device).type != 'cpu':
            return self._measure_device(function)
        before, peak, done = resident(), 0, threading.Event()

        def watch():
            nonlocal peak
            while not done.is_set():
                peak = max(peak, resident())
                time.sleep(5e-4)

        watcher = threading.Thread(target=watch)
        watcher.start()
        function()
        done.set()
        watcher.join()
        return max(peak - before, 0) / 2**20

    def _measure_device(self, function):
        """Measure on an accelerator; NaN if it reports no memory (MPS)."""
        reset_peak_memory(self.device)
        before = get_peak_memory(self.device)  # what is allocated now
        function()
        synchronize(self.device)
        after = get_peak_memory(self.device)
        return float('nan') if after is None else after - before


def resident():
    """Read the resident memory of the process in bytes (Linux)."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * 4096


def measure(name, old, new, goal, args):
    """Measure both sides interleaved, after a warm-up."""
    times = ([], [])
    for function in (old, new, new):
        function()
    for _ in range(args.repeats):
        for function, kept in zip((old, new), times):
            kept.append(seconds(function, args.device))
    memory = [
        max(PeakMemory(args.device)(f) for _ in range(3)) for f in (old, new)
    ]
    medians = [1e3 * statistics.median(t) for t in times]
    quartiles = [
        [1e3 * q for q in statistics.quantiles(t, n=4)[::2]] for t in times
    ]
    return dict(
        name=name,
        old_ms=medians[0],
        old_quartiles_ms=quartiles[0],
        new_ms=medians[1],
        new_quartiles_ms=quartiles[1],
        ratio=medians[0] / medians[1],
        goal=goal,
        old_extra_mib=memory[0],
        new_extra_mib=memory[1],
    )


def line(result):
    """Format a row of the table."""
    old, new = (
        f'{result[f"{side}_ms"]:.2f} '
        f'({result[f"{side}_quartiles_ms"][0]:.2f}-'
        f'{result[f"{side}_quartiles_ms"][1]:.2f})'
        for side in ('old', 'new')
    )
    return (
        f'| {result["name"]} | {old} | {new} | {result["ratio"]:.1f}x | '
        f'{result["goal"]}x | {result["old_extra_mib"]:.0f} / '
        f'{result["new_extra_mib"]:.0f} |'
    )


def hardware(args):
    """Describe the hardware."""
    name = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.exists():
        names = [
            text.split(':')[1].strip()
            for text in info.read_text().splitlines()
            if text.startswith('model name')
        ]
        name = f'{names[0]}, {len(names)} cores' if names else name
    if torch.device(args.device).type != 'cpu':
        name = get_device_name(args.device)
    return dict(
        device=name,
        threads=args.threads,
        torch=torch.__version__,
        numpy=np.__version__,
        python=platform.python_version(),
    )

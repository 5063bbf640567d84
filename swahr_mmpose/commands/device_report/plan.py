# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Sections, run modes and time budgets of the report.

A section is a function of a :class:`Plan` that yields rows, dictionaries of
figures. Rows are measured one after the other: what fails becomes a row with
``error``, and what does not fit into the time of the section one with
``skipped``.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

import torch

__all__ = ['MODES', 'Mode', 'Plan', 'Row', 'Task', 'list_modes', 'run_tasks']

Row = Dict[str, Any]


class Mode(NamedTuple):
    """How a network is run.

    Attributes:
        name (str): Name in the report.
        dtype (str, optional): Type of autocast; ``None``: float32.
        channels_last (bool): Whether memory is in channels-last format.
        compiled (bool): Whether ``torch.compile`` is used.
    """

    name: str
    dtype: Optional[str] = None
    channels_last: bool = False
    compiled: bool = False

    @property
    def autocast_dtype(self) -> Optional[torch.dtype]:
        """Type of autocast, ``None`` for float32."""
        return None if self.dtype is None else getattr(torch, self.dtype)


MODES = (
    Mode('fp32'),
    Mode('bf16', 'bfloat16'),
    Mode('fp16', 'float16'),
    Mode('fp32, channels_last', None, True),
    Mode('bf16, channels_last', 'bfloat16', True),
    Mode('fp16, channels_last', 'float16', True),
    Mode('fp32, compiled', None, False, True),
    Mode('bf16, compiled', 'bfloat16', False, True),
    Mode('bf16, channels_last, compiled', 'bfloat16', True, True),
)


@dataclass
class Plan:
    """Settings of a section.

    Attributes:
        device (str): Device.
        quick (bool): Whether to use small networks and few repetitions.
        deadline (float): ``time.monotonic()`` at which the section ends.
    """

    device: str
    quick: bool = False
    deadline: float = float('inf')

    @property
    def on_cpu(self) -> bool:
        """Whether the device is the CPU."""
        return torch.device(self.device).type == 'cpu'

    def time_left(self) -> float:
        """Seconds until the end of the section."""
        return self.deadline - time.monotonic()


def list_modes(plan: Plan, compiled: bool = False) -> List[Mode]:
    """List the run modes of a device.

    Args:
        plan (Plan): Settings.
        compiled (bool): Whether to list the compiled modes or the others.
            Defaults to False.

    Returns:
        list[Mode]: Modes; on a CPU without float16, which it emulates.
    """
    modes = [m for m in MODES if m.compiled == compiled]
    if plan.on_cpu:
        modes = [m for m in modes if m.dtype != 'float16']
    return modes[:2] if plan.quick else modes


class Task(NamedTuple):
    """One row: its name and the function that measures it."""

    name: str
    measure: Callable[[], Row]


def run_tasks(plan: Plan, tasks: List[Task]) -> Iterator[Row]:
    """Measure rows until the time is up.

    Args:
        plan (Plan): Settings.
        tasks (list[Task]): Rows to measure, the most important first.

    Yields:
        dict: ``name`` and figures, ``error`` or ``skipped``.
    """
    for task in tasks:
        if plan.time_left() <= 0:
            yield dict(name=task.name, skipped='time budget of the section')
            continue
        started = time.monotonic()
        try:
            row = task.measure()
        except Exception:  # one row must not hide the next
            row = dict(error=traceback.format_exc(limit=-6))
        row = dict(name=task.name, **row)
        row['seconds'] = round(time.monotonic() - started, 2)
        yield row

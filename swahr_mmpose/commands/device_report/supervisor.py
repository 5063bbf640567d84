# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Run sections in a process of their own, within their time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, Sequence

__all__ = ['run_sections']

# Seconds for the imports of a process, and for the last row of a section.
_START, _GRACE = 60.0, 30.0

_WORKER = [sys.executable, '-m', 'swahr_mmpose.commands.device_report.worker']

Results = Dict[str, Dict[str, Any]]


class _Supervisor:
    """One report; results are complete after each event."""

    def __init__(
        self,
        sections: Sequence[str],
        device: str,
        quick: bool,
        limit: float,
        changed: Callable[[Results, Dict[str, Any]], None],
    ) -> None:
        self.pending = list(sections)
        self.arguments = ['--device', device] + ['--quick'] * quick
        self.ends = time.monotonic() + limit
        self.changed = changed
        self.results: Results = {}
        self.current = ''
        self.deadline = 0.0

    def run(self) -> Results:
        """Start processes until no section is left or the time is up."""
        while self.pending and time.monotonic() < self.ends:
            self._run_process()
        for name in self.pending:
            self._record(
                dict(section=name, event='end', seconds=0.0,
                     error='not started: the time limit of the report')
            )  # fmt: skip
        return self.results

    def _run_process(self) -> None:
        """Run the pending sections in one process."""
        self.current, self.deadline = '', time.monotonic() + _START
        with tempfile.TemporaryDirectory() as folder:
            events = os.path.join(folder, 'events.jsonl')
            log = os.path.join(folder, 'log.txt')
            command = [
                *_WORKER,
                *self.pending,
                *self.arguments,
                '--events',
                events,
            ]
            with open(log, 'wb') as stream:
                process = subprocess.Popen(
                    command, stdout=stream, stderr=stream
                )
            try:
                reason = self._follow(process, events)
            finally:
                process.kill()
                process.wait()
            if reason:
                self._fail(f'{reason}\n{_read_end(log)}'.strip())

    def _follow(self, process: subprocess.Popen, path: str) -> str:
        """Read events until the process ends; return why it failed."""
        position = 0
        while True:
            ended = process.poll() is not None
            position = self._read(path, position)
            if ended:
                status = process.returncode
                return f'the process ended with status {status}' * (
                    status != 0
                )
            now = time.monotonic()
            if now > self.ends:
                return 'ended: the time limit of the report'
            if now > self.deadline:
                return 'ended: the time of the section'
            time.sleep(0.05)

    def _read(self, path: str, position: int) -> int:
        """Record new complete events; return the position after them."""
        if not os.path.exists(path):
            return position
        with open(path, 'rb') as stream:
            stream.seek(position)
            for line in stream:
                if not line.endswith(b'\n'):
                    break
                position += len(line)
                self._record(json.loads(line))
        return position

    def _record(self, event: Dict[str, Any]) -> None:
        """Add an event to the results."""
        name = event['section']
        result = self.results.setdefault(
            name, dict(title=name, rows=[], seconds=None)
        )
        if event['event'] == 'start':
            result['title'] = event['title']
            self.current = name
            self.deadline = time.monotonic() + event['budget'] + _GRACE
        elif event['event'] == 'row':
            result['rows'].append(event['row'])
        else:
            result['seconds'] = event['seconds']
            if 'error' in event:
                result['error'] = event['error']
            if name in self.pending and self.current in ('', name):
                self.pending.remove(name)
            self.current = ''
            self.deadline = time.monotonic() + _START
        self.changed(self.results, event)

    def _fail(self, reason: str) -> None:
        """Record the failure of the section in which the process ended."""
        name = self.current or (self.pending[0] if self.pending else '')
        if name:
            self._record(
                dict(section=name, event='end', seconds=None, error=reason)
            )


def _read_end(path: str, size: int = 3000) -> str:
    """Read the end of a log."""
    with open(path, 'rb') as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(stream.tell() - size, 0))
        return stream.read().decode('utf-8', 'replace')


def run_sections(
    sections: List[str],
    device: str,
    quick: bool,
    limit: float,
    changed: Callable[[Results, Dict[str, Any]], None],
) -> Results:
    """Run sections; a failed one does not end the others.

    Args:
        sections (list[str]): Names, in this order.
        device (str): Device.
        quick (bool): Whether to run the reduced form.
        limit (float): Seconds for all sections.
        changed (Callable): Called with the results and the event after each
            event.

    Returns:
        dict[str, dict]: For each section ``title``, ``rows``, ``seconds``
        and, if it failed, ``error``.
    """
    return _Supervisor(sections, device, quick, limit, changed).run()

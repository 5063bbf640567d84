"""The sections of the report run on another device."""

import types

import pytest
import torch

from swahr_mmpose.commands.device_report import correctness, speed
from swahr_mmpose.commands.device_report.plan import MODES, Plan

# The stand-in has no autocast.
PLAIN = [MODES[0]]


@pytest.fixture
def plan(device, monkeypatch):
    """The quick form on the device, in float32."""
    module = types.SimpleNamespace(synchronize=lambda device=None: None)
    monkeypatch.setattr(torch, 'lazy', module, raising=False)
    for part in (correctness, speed):
        monkeypatch.setattr(part, 'list_modes', lambda *args: PLAIN)
    return Plan(device.name, quick=True)


def test_comparisons_with_the_cpu_hold(plan):
    rows = list(correctness.check_correctness(plan))
    assert len(rows) == 5 + 2 * len(PLAIN)
    for row in rows:
        assert row.get('ok'), row


@pytest.mark.parametrize(
    'run',
    [
        speed.measure_decoding,
        lambda plan: speed.measure_training(plan, 'tiny'),
        lambda plan: speed.measure_test(plan, 'tiny'),
    ],
    ids=['decoding', 'training', 'test'],
)
def test_measurements_run(plan, run):
    for row in run(plan):
        assert 'error' not in row, row['error']
        assert min(v for v in row.values() if isinstance(v, float)) > 0

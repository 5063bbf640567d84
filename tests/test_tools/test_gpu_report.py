"""The report on a GPU or another device."""

import json
import sys
import time

import numpy as np
import pytest
import torch
from helpers.tools import tool

from swahr_mmpose.commands import gpu_report
from swahr_mmpose.commands.device_report import (
    correctness,
    formatting,
    sections,
    supervisor,
)
from swahr_mmpose.commands.device_report.plan import Plan, Task, run_tasks


@pytest.mark.slow
def test_the_quick_form_runs_on_a_cpu(tmp_path):
    started = time.monotonic()
    done = tool(
        'analysis_tools/gpu_report.py', '--quick', '--device', 'cpu',
        '--out-dir', tmp_path,
    )  # fmt: skip
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['complete']
    assert report['seconds'] < time.monotonic() - started
    assert list(report['sections']) == list(gpu_report.QUICK_NAMES)
    assert not gpu_report.list_problems(report)
    compared = [
        row['ok']
        for name in ('correctness', 'ranks')
        for row in report['sections'][name]['rows']
    ]
    assert len(compared) >= 10
    for name in ('train-tiny', 'test-tiny', 'loading'):
        for row in report['sections'][name]['rows']:
            assert row['images/s'] > 0
    page = (tmp_path / 'report.md').read_text()
    facts = report['environment']
    assert page.startswith(f'## {facts["device name"]}\n')
    assert torch.__version__ in page
    assert '2 ranks with gloo: difference' in done.stdout
    assert max(map(len, page.splitlines())) < 200


def test_names_of_sections_are_those_of_the_options():
    assert list(sections.SECTIONS) == list(gpu_report.NAMES)
    assert list(sections.QUICK) == list(gpu_report.QUICK_NAMES)
    budgets = [s.budget for s in sections.SECTIONS.values()]
    assert sum(budgets) < 8 * 60


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--quick', '--sections', 'train-w32'], 'no section train-w32 with '),
        (['--sections', 'train-tiny'], 'no section train-tiny without'),
        (['--sections', 'x'], 'invalid choice'),
    ],
)
def test_unknown_sections_are_refused(capsys, arguments, message):
    with pytest.raises(SystemExit):
        gpu_report.parse_args(arguments)
    assert message in capsys.readouterr().err


def test_a_missing_device_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="device 'gpu' cannot be used"):
        gpu_report.main(['--device', 'gpu', '--out-dir', str(tmp_path / 'a')])
    assert not (tmp_path / 'a').exists()


def test_a_failed_row_does_not_hide_the_next():
    rows = list(
        run_tasks(
            Plan('cpu'),
            [Task('bad', lambda: 1 / 0), Task('good', lambda: dict(x=1))],
        )
    )
    assert (
        rows[0]['error']
        .strip()
        .endswith('ZeroDivisionError: division by zero')
    )
    assert rows[1]['x'] == 1


def test_rows_after_the_time_budget_are_skipped():
    plan = Plan('cpu', deadline=time.monotonic())
    rows = list(run_tasks(plan, [Task('late', dict)]))
    assert rows == [dict(name='late', skipped='time budget of the section')]


WORKER = """
import json, os, signal, sys, time
def write(**event):
    with open(sys.argv[-1], 'a') as stream:
        stream.write(json.dumps(event) + chr(10))
for name in sys.argv[1:sys.argv.index('--device')]:
    write(section=name, event='start', title=name.upper(), budget=BUDGET)
    write(section=name, event='row', row=dict(name='first', x=1.0))
    if name == 'crash':
        print('segmentation fault in a kernel', flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if name == 'hang':
        time.sleep(60)
    write(section=name, event='end', seconds=0.1)
"""


@pytest.fixture
def run_sections(monkeypatch, tmp_path):
    """Run sections with a process that crashes or hangs in some."""

    def run(*names, budget=60, limit=60):
        script = tmp_path / 'worker.py'
        script.write_text(WORKER.replace('BUDGET', str(budget)))
        monkeypatch.setattr(
            supervisor, '_WORKER', [sys.executable, str(script)]
        )
        events = []
        results = supervisor.run_sections(
            list(names), 'cpu', False, limit, lambda r, e: events.append(e)
        )
        return results, events

    return run


def test_sections_run_in_one_process(run_sections):
    results, events = run_sections('a', 'b')
    assert [r['title'] for r in results.values()] == ['A', 'B']
    assert [e['event'] for e in events] == ['start', 'row', 'end'] * 2
    assert not any('error' in r for r in results.values())


def test_a_crash_is_an_entry_and_the_next_section_runs(run_sections):
    results, _ = run_sections('a', 'crash', 'b')
    assert list(results) == ['a', 'crash', 'b']
    assert results['crash']['rows'] == [dict(name='first', x=1.0)]
    assert 'status -9' in results['crash']['error']
    assert 'segmentation fault in a kernel' in results['crash']['error']
    assert 'error' not in results['a']
    assert 'error' not in results['b']


def test_a_section_that_hangs_is_ended(run_sections, monkeypatch):
    monkeypatch.setattr(supervisor, '_GRACE', 0.5)
    results, _ = run_sections('hang', 'b', budget=0)
    assert 'ended: the time of the section' in results['hang']['error']
    assert 'error' not in results['b']


def test_the_limit_ends_the_report(run_sections):
    started = time.monotonic()
    results, _ = run_sections('hang', 'b', limit=2)
    assert time.monotonic() - started < 20
    assert 'time limit of the report' in results['hang']['error']
    assert 'not started' in results['b']['error']


REPORT = dict(
    environment={'device name': 'Big GPU', 'torch': '2.11'},
    complete=False,
    sections=dict(
        speed=dict(
            title='Training',
            seconds=1.0,
            rows=[
                dict(name='fp32', **{'images/s': 123.456}, ok=True),
                dict(name='bf16', **{'images/s': 1e-7}, seconds=1.0),
                dict(name='fp16', error='Traceback\nRuntimeError: no ```x```'),
                dict(name='late', skipped='time budget'),
            ],
        ),
        crash=dict(title='Crash', seconds=None, rows=[], error='status -9'),
    ),
)


def test_a_report_is_a_page():
    assert formatting.format_markdown(REPORT).splitlines() == [
        '## Big GPU', '', '**This report is not complete.**', '',
        '| | |', '| --- | --- |', '| device name | Big GPU |',
        '| torch | 2.11 |', '', '### Training', '', '| | images/s | ok |',
        '| --- | --- | --- |', '| fp32 | 123.5 | yes |',
        '| bf16 | 1.0e-07 |  |', '', 'Skipped:', '', '* late: time budget',
        '', 'Failed: fp16', '', '```text', 'Traceback',
        "RuntimeError: no '''x'''", '```', '', '### Crash', '', '',
        'Failed: the section', '', '```text', 'status -9', '```',
    ]  # fmt: skip


def test_problems_of_a_report_are_listed():
    report = dict(REPORT, sections=dict(REPORT['sections']))
    report['sections']['check'] = dict(rows=[dict(name='x', ok=False)])
    assert gpu_report.list_problems(report) == [
        'speed, fp16', 'crash', 'check, x'
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('found', 'difference'),
    [
        ([torch.ones(2)], 0),
        ([torch.ones(2) * 1.5], 0.5),
        ([torch.tensor([1.0, float('nan')])], float('inf')),
        ([torch.ones(3)], float('inf')),
        ([], float('inf')),
    ],
)
def test_differences_are_relative(found, difference):
    assert correctness.measure_difference(found, [torch.ones(2)]) == difference


def test_a_wrong_device_is_noticed(monkeypatch):
    """Losses that differ on one side fail the comparison."""
    plan = Plan('cpu', quick=True)
    compute, calls = correctness._compute_losses, []

    def distort(*args):
        calls.append(1)
        return [x * (1 + 0.01 * len(calls)) for x in compute(*args)]

    assert correctness.compare_losses(plan, None)['ok']
    monkeypatch.setattr(correctness, '_compute_losses', distort)
    assert not correctness.compare_losses(plan, None)['ok']


@pytest.mark.parametrize('part', ['keypoints', 'scores'])
def test_nan_in_decoded_people_is_a_difference(part):
    people = dict(
        keypoints=[np.zeros((1, 17, 2))],
        scores=[np.ones((1, 17))],
        instance_scores=[np.ones(1)],
    )
    broken = {**people, part: [np.full_like(people[part][0], np.nan)]}
    results = [broken, people]

    class Codec:
        def batch_decode(self, *maps):
            return tuple(results.pop(0).values())

    row = correctness._compare_people(Codec(), [], [])
    assert row['ok'] is False
    assert row['difference'] == 'not finite'


@pytest.mark.parametrize(
    ('argv', 'device', 'quick'),
    [
        ([], 'cpu', True),
        ([], 'cuda', False),
        (['--device', 'cpu'], 'cpu', False),
        (['--sections', 'train-w32'], 'cpu', False),
        (['--quick'], 'cpu', True),
    ],
)
def test_without_an_accelerator_the_quick_form_is_the_default(
    capsys, argv, device, quick
):
    args = gpu_report.parse_args(argv)
    chosen = args.quick
    gpu_report.choose_form(args, device)
    assert args.quick == quick
    if quick:
        assert args.sections == list(gpu_report.QUICK_NAMES)
    told = 'the quick form runs on the CPU' in capsys.readouterr().out
    assert told == (quick and not chosen)

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What doctor and pytest wrote, as the result of a row keeps it."""

import json
from collections import Counter
from xml.etree import ElementTree

__all__ = ['read_doctor', 'read_junit']


def read_doctor(path):
    """Verdict, errors and warnings of the report of ``tools/doctor.py``."""
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        return dict(can_train=False, errors=[f'no report: {error}'])
    by_severity = {'error': [], 'warning': [], 'note': []}
    for finding in report['findings']:
        by_severity[finding['severity']].append(finding['got'])
    return dict(
        can_train=report['can_train'],
        errors=by_severity['error'],
        warnings=by_severity['warning'],
    )


def read_junit(path, status):
    """Counts and names of pytest's XML report.

    Args:
        path (Path): the report.
        status (int): of pytest; None: it was stopped.

    Returns:
        dict: ``passed`` and ``skipped``, counts; ``failed``, names of tests
        with the beginning of what they said; ``skips``, reasons and counts;
        ``seconds``.  A run without a report has one failure, the run itself.
    """
    try:
        cases = list(ElementTree.parse(str(path)).iter('testcase'))
        suite = ElementTree.parse(str(path)).getroot()[0]
    except (OSError, ElementTree.ParseError, IndexError) as error:
        failed = {'pytest': f'no report (status {status}): {error}'}
        return dict(passed=0, skipped=0, seconds=0, failed=failed, skips={})
    failed, skips = {}, Counter()
    for case in cases:
        for child in case:
            said = ' '.join((child.get('message') or '').split())
            if child.tag in ('failure', 'error'):
                name = f'{case.get("classname")}::{case.get("name")}'
                failed.setdefault(name, said[:200])
            elif child.tag == 'skipped':
                skips[said[:100]] += 1
    if status not in (0, 1):
        failed['pytest'] = f'ended with status {status}'
    skipped = sum(skips.values())
    return dict(
        passed=len(cases) - skipped - len(set(failed) - {'pytest'}),
        skipped=skipped,
        seconds=round(float(suite.get('time'))),
        failed=failed,
        skips=dict(skips),
    )

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Report as Markdown, and as lines of the console."""

from __future__ import annotations

from typing import Any, Dict, List

__all__ = ['format_markdown', 'format_row']


def _format_value(value: Any) -> str:
    """Format a figure."""
    if isinstance(value, bool):
        return 'yes' if value else '**no**'
    if isinstance(value, float):
        small = value != 0 and (abs(value) < 0.01 or abs(value) >= 1e5)
        return f'{value:.1e}' if small else f'{value:.4g}'
    return str(value)


def format_row(row: Dict[str, Any]) -> str:
    """Format a row for the console.

    Args:
        row (dict): Row, see :mod:`.plan`.

    Returns:
        str: One line.
    """
    if 'error' in row:
        last = row['error'].strip().splitlines()[-1]
        return f'{row["name"]}: failed: {last}'
    if 'skipped' in row:
        return f'{row["name"]}: skipped: {row["skipped"]}'
    figures = (
        f'{name} {_format_value(value).strip("*")}'
        for name, value in row.items()
        if name not in ('name', 'seconds')
    )
    return f'{row["name"]}: {", ".join(figures)}'


def format_markdown(report: Dict[str, Any]) -> str:
    """Format a report as Markdown.

    Args:
        report (dict): ``environment``, ``complete`` and ``sections``.

    Returns:
        str: Page, ready to be pasted into ``docs/speed.md``.
    """
    facts = report['environment']
    lines = [f'## {facts["device name"]}', '']
    if not report['complete']:
        lines += ['**This report is not complete.**', '']
    lines += ['| | |', '| --- | --- |']
    lines += [f'| {name} | {value} |' for name, value in facts.items()]
    for section in report['sections'].values():
        lines += ['', *_format_section(section)]
    return '\n'.join(lines) + '\n'


def _format_section(section: Dict[str, Any]) -> List[str]:
    """Format one section: a table, and what failed."""
    lines = [f'### {section["title"]}', '']
    rows = [r for r in section['rows'] if 'error' not in r]
    measured = [r for r in rows if 'skipped' not in r]
    columns: List[str] = []
    for row in measured:
        columns += [c for c in row if c not in (*columns, 'name', 'seconds')]
    if columns:
        lines.append(f'| | {" | ".join(columns)} |')
        lines.append('| --- |' + ' --- |' * len(columns))
    for row in measured:
        cells = [_format_value(row.get(c, '')) for c in columns]
        lines.append(f'| {row["name"]} | {" | ".join(cells)} |')
    skipped = [r for r in rows if 'skipped' in r]
    if skipped:
        lines += ['', 'Skipped:', '']
        lines += [f'* {r["name"]}: {r["skipped"]}' for r in skipped]
    failed = [r for r in section['rows'] if 'error' in r]
    if 'error' in section:
        failed.append(dict(name='the section', error=section['error']))
    for row in failed:
        text = row['error'].strip().replace('```', "'''")
        lines += ['', f'Failed: {row["name"]}', '', '```text', text, '```']
    return lines

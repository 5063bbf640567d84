# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Markdown tables of the study on synthetic people.

The study is one JSON document, ``{'runs': {name: run}}``. A run has
``method``, ``seed``, ``epochs``, ``curve`` and measurements: COCO metrics
(``metrics``, ``metrics_at_0.3`` with another threshold of peaks,
``official_assignment``), ``localization`` and ``scales``. Values that are
missing give a dash.
"""

from __future__ import annotations

import re
import statistics
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

__all__ = ['format_tables', 'replace_tables', 'summarize_methods']

Run = Mapping[str, Any]
Column = Tuple[str, Callable[[Run], Optional[float]], int]
Row = Tuple[str, List[Run]]

_NOISE = ('-clean', '-noise4')
MAIN_METHODS = ('baseline', 'SAHR', 'WAHR', 'SWAHR', 'SHR')
_START, _END = '<!-- table: {} -->', '<!-- end of table -->'


def _get(*keys: str) -> Callable[[Run], Optional[float]]:
    """Make a function that looks up nested keys of a run, None if missing."""

    def look_up(run: Run) -> Optional[float]:
        value: Any = run
        for key in keys:
            value = None if value is None else value.get(key)
        return value

    return look_up


_AP: List[Column] = [
    ('AP', _get('metrics', 'coco/AP'), 3),
    ('AP50', _get('metrics', 'coco/AP .5'), 3),
    ('AP75', _get('metrics', 'coco/AP .75'), 3),
    ('AP medium', _get('metrics', 'coco/AP (M)'), 3),
    ('AP large', _get('metrics', 'coco/AP (L)'), 3),
]
_THRESHOLD: List[Column] = [
    ('AP, threshold 0.1', _get('metrics', 'coco/AP'), 3),
    ('AP, threshold 0.3', _get('metrics_at_0.3', 'coco/AP'), 3),
    ('AP medium, 0.3', _get('metrics_at_0.3', 'coco/AP (M)'), 3),
    ('AP large, 0.3', _get('metrics_at_0.3', 'coco/AP (L)'), 3),
    ('AP75, 0.3', _get('metrics_at_0.3', 'coco/AP .75'), 3),
]
_LOCALIZATION: List[Column] = [
    ('found', _get('localization', 'found'), 3),
    ('jitter, medium (px)', _get('localization', 'jitter (M)'), 2),
    ('jitter, large (px)', _get('localization', 'jitter (L)'), 2),
    ('peak height', _get('localization', 'peak_height'), 2),
    ('false peaks', _get('localization', 'false_peaks'), 2),
    ('strong false peaks', _get('localization', 'strong_false_peaks'), 2),
]
_ASSIGNMENT: List[Column] = [
    ('nearest', _get('metrics', 'coco/AP'), 3),
    ('official', _get('official_assignment', 'coco/AP'), 3),
]


def format_tables(runs: Mapping[str, Run]) -> Dict[str, str]:
    """Format all tables.

    Args:
        runs (Mapping): Runs by name.

    Returns:
        dict[str, str]: Markdown by name of the table.
    """
    values = list(runs.values())
    main = _group(values, MAIN_METHODS)
    best = _group(values, MAIN_METHODS, only_longest=True)
    every = sorted({r['method'] for r in values}, key=_sort_key)
    return {
        'methods': _format_columns(main, _AP),
        'threshold': _format_columns(main, _THRESHOLD),
        'localization': _format_columns(main, _LOCALIZATION),
        'assignment': _format_columns(_group(values, every), _ASSIGNMENT),
        'curve': _format_curves(best),
        'scales': _format_scales(
            [row for row in _group(values, every) if _has_scales(row[1])]
        ),
        'noise': _format_columns(
            _group(values, _list_noise_methods(every)),
            [*_THRESHOLD[:2], *_LOCALIZATION],
        ),
        'parameters': _format_columns(
            _group(values, [m for m in every if _is_compared(m)]), _AP
        ),
    }


def replace_tables(page: str, tables: Mapping[str, str]) -> str:
    """Replace the tables of a page between their markers.

    Args:
        page (str): Markdown with ``<!-- table: NAME -->`` and ``<!-- end of
            table -->``.
        tables (Mapping): Markdown by name.

    Returns:
        str: New page.

    Raises:
        ValueError: If the markers of a table are missing.
    """
    for name, table in tables.items():
        start = _START.format(name)
        pattern = re.escape(start) + r'\n.*?' + re.escape(_END)
        if not re.search(pattern, page, flags=re.DOTALL):
            raise ValueError(
                f'the page has no {start} followed by {_END}; add both lines '
                'where the table belongs'
            )
        text = f'{start}\n{table}\n{_END}'
        # Backslashes of a replacement would be escapes.
        text = text.replace('\\', '\\\\')
        page = re.sub(pattern, text, page, flags=re.DOTALL)
    return page


def summarize_methods(
    runs: Mapping[str, Run], methods: Sequence[str]
) -> List[str]:
    """Summarize AP of methods in their longest training.

    Args:
        runs (Mapping): Runs by name.
        methods (Sequence[str]): Names of the methods.

    Returns:
        list[str]: One line per method that has runs.
    """
    return [
        f'{label}: AP {_format_values(_take(group, _AP[0][1]), 3)}'
        for label, group in _group(
            list(runs.values()), methods, only_longest=True
        )
    ]


def _sort_key(method: str) -> Tuple[int, str]:
    """Sort by the main method, and variants behind it."""
    return MAIN_METHODS.index(method.split('-')[0]), method


def _is_compared(method: str) -> bool:
    """Whether a method belongs to the tables of lambda and gamma."""
    if method.endswith(_NOISE):
        return False
    plain = method in ('baseline', 'SAHR', 'WAHR', 'SWAHR')
    return plain or '-lambda' in method or '-gamma' in method


def _list_noise_methods(methods: Sequence[str]) -> List[str]:
    """List methods trained with several amounts of noise, by amount."""
    amounts = {'-clean': 0, '': 1, '-noise4': 2}

    def split(method: str) -> Tuple[str, str]:
        suffix = next((x for x in _NOISE if method.endswith(x)), '')
        return method[: len(method) - len(suffix)], suffix

    bases = [split(m)[0] for m in methods if split(m)[1]]
    return sorted(
        (m for m in methods if split(m)[0] in bases),
        key=lambda m: (amounts[split(m)[1]], _sort_key(m)),
    )


def _has_scales(group: Iterable[Run]) -> bool:
    """Whether a run has measured scales."""
    return any('scales' in run for run in group)


def _group(
    runs: Sequence[Run], methods: Sequence[str], only_longest: bool = False
) -> List[Row]:
    """Group measured runs by length and method; labels name both.

    Methods are compared at equal length only: ``only_longest`` keeps the
    longest training in which every method has a run, or else the longest of
    all.
    """
    runs = [run for run in runs if 'metrics' in run]
    lengths = sorted(
        {run['epochs'] for run in runs if run['method'] in methods}
    )
    if only_longest and lengths:
        complete = [
            length
            for length in lengths
            if {r['method'] for r in runs if r['epochs'] == length}
            >= set(methods)
        ]
        lengths = (complete or lengths)[-1:]
    rows = []
    for length in lengths:
        for method in methods:
            group = [
                run
                for run in runs
                if (run['method'], run['epochs']) == (method, length)
            ]
            if group:
                seeds = f'{len(group)} seed' + 's' * (len(group) > 1)
                rows.append((f'{method}, {length} epochs, {seeds}', group))
    return rows


def _take(
    group: Sequence[Run], value: Callable[[Run], Optional[float]]
) -> List[float]:
    """Take the values of a group that are known."""
    found = [value(run) for run in group]
    return [v for v in found if v is not None]


def _format_values(values: Sequence[float], digits: int) -> str:
    """Format mean and sample standard deviation; a dash for none."""
    if not values:
        return '-'
    mean = f'{statistics.fmean(values):.{digits}f}'
    if len(values) < 2:
        return mean
    return f'{mean} ± {statistics.stdev(values):.{digits}f}'


def _format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def _format_columns(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Format a table with a row per group."""
    return _format_table(
        ['training', *(name for name, _, _ in columns)],
        [
            [
                label,
                *(
                    _format_values(_take(group, value), digits)
                    for _, value, digits in columns
                ),
            ]
            for label, group in rows
        ],
    )


def _format_curves(rows: Sequence[Row]) -> str:
    """Format AP at the validations of a training."""
    epochs = sorted(
        {
            epoch
            for _, group in rows
            for run in group
            for epoch, _ in run['curve']
        }
    )
    lines = []
    for label, group in rows:
        curves = [dict(run['curve']) for run in group]
        values = [[c[epoch] for c in curves if epoch in c] for epoch in epochs]
        lines.append([label, *(_format_values(v, 3) for v in values)])
    return _format_table(['AP after epoch', *map(str, epochs)], lines)


def _format_scales(rows: Sequence[Row]) -> str:
    """Format what scales follow, their means by size, and their effect."""
    return _format_table(
        [
            'training',
            'level',
            'rank correlation of s and size',
            'of s and confidence',
            's of the smallest third',
            's of the middle third',
            's of the largest third',
            'change of the target, % of the error',
        ],
        [
            [label, level, *_format_level(levels)]
            for label, group in rows
            for level in ('1/4', '1/2')
            for levels in [
                [r['scales'][level] for r in group if 'scales' in r]
            ]
        ],
    )


def _format_level(levels: Sequence[Mapping[str, Any]]) -> List[str]:
    """Format the scales of one level of some runs."""
    thirds = [found['scale_of_thirds_by_size'] for found in levels]
    effects = [
        100 * found['target_change'] / found['error']
        for found in levels
        if found.get('error')
    ]
    return [
        *(
            '; '.join(_format_correlation(found[key]) for found in levels)
            for key in ('size', 'confidence')
        ),
        *(_format_values([t[i] for t in thirds], 3) for i in (0, 1, 2)),
        _format_values(effects, 1),
    ]


def _format_correlation(found: Mapping[str, Any]) -> str:
    """Format a rank correlation and its interval."""
    if found['rank_correlation'] is None:
        return '-'
    low, high = found['interval']
    return f'{found["rank_correlation"]:.2f} ({low:.2f} to {high:.2f})'

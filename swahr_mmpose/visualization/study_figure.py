# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Figure of the study on synthetic people.

A run is one entry of the study's JSON document, see
:mod:`swahr_mmpose.evaluation.ablation_tables`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

__all__ = ['study_figure']

Run = Mapping[str, Any]

# Distinguishable with common colour vision deficiencies.
_COLOURS = {
    'baseline': '#555555',
    'SAHR': '#31688e',
    'WAHR': '#e07b39',
    'SWAHR': '#b03a48',
    'SHR': '#4c9f70',
}
# Keys of the metrics and fill of the markers, by threshold of peaks.
_THRESHOLDS = {'0.1': ('metrics', 'none'), '0.3': ('metrics_at_0.3', None)}
_CONDITIONS = {
    'exact labels': '-clean',
    'noise of OKS': '',
    'four times the noise of OKS': '-noise4',
}


def study_figure(runs: Mapping[str, Run]) -> Figure:
    """Plot AP during the trainings, and AP of all runs by label noise.

    Args:
        runs (Mapping): Runs by name; without measurements they are left out.

    Returns:
        Figure: Matplotlib figure; on the left a curve for each training with
        the noise of OKS, then a point for each seed and threshold of peaks.
    """
    found = [run for run in runs.values() if 'metrics' in run]
    shown = _select_conditions(found)
    figure = Figure(
        figsize=(4.6 + 2.6 * len(shown), 3.8), layout='constrained'
    )
    widths = [1.5, *[1] * len(shown)]
    panels = figure.subplots(1, len(widths), width_ratios=widths)
    first, *others = np.atleast_1d(panels)
    _plot_curves(first, [run for run in found if run['method'] in _COLOURS])
    for axes, (title, groups) in zip(others, shown.items()):
        _plot_points(axes, groups)
        axes.set_title(title, fontsize=10)
    for axes in (first, *others):
        axes.spines[['top', 'right']].set_visible(False)
        axes.set_ylim(0, 1.08 * axes.dataLim.ymax if axes.has_data() else 1)
        axes.grid(axis='y', color='#dddddd', linewidth=0.6)
    return figure


def _select_conditions(runs: Sequence[Run]) -> Dict[str, Dict[str, List[Run]]]:
    """Group runs by noise, length and method."""
    conditions = {}
    for title, suffix in _CONDITIONS.items():
        groups = {
            method: [r for r in runs if r['method'] == method + suffix]
            for method in _COLOURS
        }
        for length in _list_lengths(list(groups.values())):
            selected = {
                method: [r for r in group if r['epochs'] == length]
                for method, group in groups.items()
            }
            conditions[f'{title},\n{length} epochs'] = {
                method: group for method, group in selected.items() if group
            }
    return conditions


def _list_lengths(groups: Sequence[Sequence[Run]]) -> List[int]:
    """List the lengths that three methods have, or else most methods."""
    counts = Counter(
        length
        for group in groups
        for length in {run['epochs'] for run in group}
    )
    enough = min(3, max(counts.values(), default=0))
    return sorted(length for length, n in counts.items() if n >= enough)


def _plot_curves(axes: Any, runs: Sequence[Run]) -> None:
    """Plot AP at the validations; the mean of seeds, once per length."""
    keys = sorted({(run['method'], run['epochs']) for run in runs})
    named = set()
    for method, epochs in sorted(keys, key=_sort_key):
        curves = [
            np.array(run['curve'])
            for run in runs
            if (run['method'], run['epochs']) == (method, epochs)
        ]
        x, y = np.mean([c for c in curves if len(c) == len(curves[0])], 0).T
        axes.plot(
            x,
            y,
            marker='o',
            markersize=3,
            linewidth=1.4,
            color=_COLOURS[method],
            label=None if method in named else method,
        )
        named.add(method)
    axes.set(xlabel='epoch', ylabel='AP')
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title('during training, threshold 0.1', fontsize=10)
    if runs:
        axes.legend(frameon=False, fontsize=8, loc='lower right')


def _sort_key(key: Tuple[str, int]) -> Tuple[int, int]:
    """Sort by length, then in the order of the legend."""
    return key[1], list(_COLOURS).index(key[0])


def _plot_points(axes: Any, groups: Mapping[str, Sequence[Run]]) -> None:
    """Plot AP by method and threshold, a point for each seed."""
    for x, (method, group) in enumerate(groups.items()):
        for side, (metrics, fill) in zip((-0.15, 0.15), _THRESHOLDS.values()):
            values = [r[metrics]['coco/AP'] for r in group if metrics in r]
            axes.scatter(
                [x + side] * len(values),
                values,
                s=26,
                edgecolors=_COLOURS[method],
                facecolors=fill or _COLOURS[method],
                zorder=3,
            )
            if len(values) > 1:
                mean = float(np.mean(values))
                axes.hlines(
                    mean, x + side - 0.12, x + side + 0.12, _COLOURS[method]
                )
    axes.set_xticks(range(len(groups)), list(groups), rotation=45, fontsize=8)
    axes.set_xlim(-0.6, len(groups) - 0.4)
    for label, (_, fill) in _THRESHOLDS.items():
        axes.scatter(
            [],
            [],
            s=26,
            edgecolors='#555555',
            facecolors=fill or '#555555',
            label=f'threshold {label}',
        )
    axes.legend(frameon=False, fontsize=8, loc='lower right')

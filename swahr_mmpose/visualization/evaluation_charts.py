# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Charts of an evaluation as SVG, to embed in an HTML page.

T OKS thresholds, R recalls, K keypoints.
"""

from __future__ import annotations

import io
import re
from itertools import cycle
from typing import Any, Sequence

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

__all__ = ['error_chart', 'figure_to_svg', 'precision_chart', 'scale_chart']

# From good to bad, distinguishable with common colour vision deficiencies.
_KIND_COLOURS = ('#4c9f70', '#a8d5ba', '#f0c05a', '#e07b39', '#b03a48')
_LEVEL_COLOURS = ('#31688e', '#e07b39', '#4c9f70', '#b03a48')


def figure_to_svg(figure: Figure) -> str:
    """Convert a figure to an SVG element, with text as text.

    Args:
        figure (Figure): Matplotlib figure.

    Returns:
        str: Element ``<svg ...>``, without XML header; equal figures give
        equal strings.
    """
    stream = io.StringIO()
    settings: Any = {'svg.fonttype': 'none', 'svg.hashsalt': 'swahr_mmpose'}
    with matplotlib.rc_context(settings):
        figure.savefig(stream, format='svg', metadata=dict(Date=None))
    text = stream.getvalue()
    element = text[text.index('<svg') :]
    # Size by the page; the view box keeps the proportions.
    return re.sub(r' (width|height)="[\d.]+pt"', '', element, count=2)


def _make_axes(width: float, height: float) -> Any:
    """Make a figure with one pair of axes without upper and right spines."""
    figure = Figure(figsize=(width, height), layout='constrained')
    axes = figure.subplots()
    axes.spines[['top', 'right']].set_visible(False)
    return figure, axes


def precision_chart(
    thresholds: np.ndarray, recalls: np.ndarray, precisions: np.ndarray
) -> Figure:
    """Plot precision against recall, a curve per OKS threshold.

    Args:
        thresholds (np.ndarray): OKS thresholds, shape (T,).
        recalls (np.ndarray): Recalls, shape (R,).
        precisions (np.ndarray): Precisions, shape (T, R), -1 without ground
            truth.

    Returns:
        Figure: Matplotlib figure.
    """
    figure, axes = _make_axes(6.4, 4.2)
    colours = colormaps['viridis'](np.linspace(0, 0.9, len(thresholds)))
    for threshold, curve, colour in zip(thresholds, precisions, colours):
        label = f'{threshold:.2f}: AP {max(curve.mean(), 0):.3f}'
        axes.plot(recalls, curve.clip(0), color=colour, label=label)
    axes.set(xlabel='recall', ylabel='precision', xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(
        title='OKS threshold',
        loc='center left',
        bbox_to_anchor=(1, 0.5),
        frameon=False,
        fontsize=9,
    )
    return figure


def error_chart(
    counts: np.ndarray, keypoints: Sequence[str], kinds: Sequence[str]
) -> Figure:
    """Plot the shares of error kinds as stacked bars, one per keypoint.

    Args:
        counts (np.ndarray): Counts by keypoint and kind, shape (K, kinds).
        keypoints (Sequence[str]): Keypoint names.
        kinds (Sequence[str]): Kinds of errors, best first.

    Returns:
        Figure: Matplotlib figure; a keypoint without counts has no bar.
    """
    figure, axes = _make_axes(6.4, 0.8 + 0.26 * len(keypoints))
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left = np.zeros(len(keypoints))
    for kind, share, colour in zip(kinds, shares.T, _KIND_COLOURS):
        axes.barh(keypoints, share, left=left, color=colour, label=kind)
        left += share
    axes.invert_yaxis()
    axes.set(xlabel='labelled keypoints of matched people, %', xlim=(0, 100))
    axes.tick_params(axis='y', length=0)
    axes.legend(
        ncols=len(kinds),
        loc='lower center',
        bbox_to_anchor=(0.5, 1),
        frameon=False,
        fontsize=9,
        columnspacing=1,
    )
    return figure


def scale_chart(
    sizes: np.ndarray, scales: np.ndarray, names: Sequence[str]
) -> Figure:
    """Plot the learned scale s of people against their size.

    Args:
        sizes (np.ndarray): Sizes in pixels, shape (N,).
        scales (np.ndarray): Scales s, shape (levels, N).
        names (Sequence[str]): Names of the levels.

    Returns:
        Figure: Matplotlib figure.
    """
    figure, axes = _make_axes(6.4, 3.6)
    for values, name, colour in zip(scales, names, cycle(_LEVEL_COLOURS)):
        axes.scatter(sizes, values, s=12, alpha=0.6, color=colour, label=name)
    axes.axhline(1, color='0.6', linewidth=1, zorder=0)
    axes.set_xscale('log')
    axes.set(
        xlabel='size of the person, px of the input',
        ylabel='s (1: the standard deviation of the target)',
    )
    axes.legend(title='level', frameon=False)
    return figure

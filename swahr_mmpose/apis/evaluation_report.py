# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""HTML report of an evaluation."""

from __future__ import annotations

import os.path as osp
import re
from collections import Counter
from datetime import datetime
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import mmpose
import numpy as np
import torch
from mmengine.hooks import Hook

import swahr_mmpose
from swahr_mmpose.datasets.transforms.loading import read_image
from swahr_mmpose.evaluation.breakdown import (
    ImageScore,
    Results,
    average_precision_by_people,
    average_precision_by_size,
    find_matches,
    precision_recall,
    score_images,
)
from swahr_mmpose.evaluation.error_analysis import ERROR_KINDS, count_errors
from swahr_mmpose.evaluation.scale_statistics import (
    PersonScales,
    rank_correlation,
)
from swahr_mmpose.visualization.drawing import draw_poses
from swahr_mmpose.visualization.evaluation_charts import (
    error_chart,
    figure_to_svg,
    precision_chart,
    scale_chart,
)
from swahr_mmpose.visualization.report_page import (
    ImagePair,
    Section,
    make_gallery,
    make_page,
    make_table,
    put_side_by_side,
)

__all__ = ['Evaluation', 'make_report']

Filled = Mapping[int, Tuple[np.ndarray, np.ndarray]]


class Evaluation(NamedTuple):
    """Outcome of a test.

    Attributes:
        results (Results): Predictions, ground truth and settings.
        metrics (Mapping): Values by name, ``prefix/name``.
        seconds (float, optional): Duration of the test.
        device (str, optional): Device of the model.
        filled (Mapping, optional): Predicted keypoints (N, K, 2) and the mask
            of those that were filled in (N, K), by image id. They are not
            drawn. Defaults to None.
        scales (PersonScales, optional): Learned scales of annotated people.
            Defaults to None.
        strides (Sequence[int]): Input pixels per cell of the levels of
            ``scales``. Defaults to ().
    """

    results: Results
    metrics: Mapping[str, Any]
    seconds: Optional[float]
    device: Optional[str]
    filled: Optional[Filled] = None
    scales: Optional[PersonScales] = None
    strides: Sequence[int] = ()


class FilledCollector(Hook):
    """Hook that keeps which keypoints of a test were filled in.

    Attributes:
        filled (dict): See :class:`Evaluation`.
    """

    def __init__(self) -> None:
        self.filled: Dict[int, Tuple[np.ndarray, np.ndarray]] = {}

    def after_test_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Sequence[Any]] = None,
    ) -> None:
        """Keep the masks of a batch."""
        for sample in outputs or ():
            people = sample.pred_instances
            if 'keypoints_filled' in people:
                self.filled[sample.metainfo['img_id']] = (
                    np.asarray(people.keypoints),
                    np.asarray(people.keypoints_filled),
                )


def make_report(
    evaluation: Evaluation,
    dataset: Any,
    title: str,
    facts: Mapping[str, str],
    num_worst: int = 24,
    score_threshold: float = 0.2,
    ignore_orientation: bool = False,
) -> str:
    """Make the report.

    Args:
        evaluation (Evaluation): Outcome of the test.
        dataset (BaseDataset): Test dataset, for image paths and metainfo.
        title (str): Title.
        facts (Mapping[str, str]): Names and values for the head of the page,
            e.g. the config.
        num_worst (int): Number of images to show. Defaults to 24.
        score_threshold (float): Instance score from which predictions are
            drawn and count as false detections. Defaults to 0.2.
        ignore_orientation (bool): Whether the annotations refer to the pixels
            as they are stored, without the EXIF orientation. Defaults to
            False.

    Returns:
        str: HTML document.

    Raises:
        OSError: If an image does not exist.
        ValueError: If an image cannot be read.
    """
    results, metainfo = evaluation.results, dataset.metainfo
    headline, others = _split_metrics(evaluation.metrics)
    sections = [
        _show_precision(results),
        _show_sizes(results),
        _show_people(results),
        _show_errors(results, metainfo),
        _show_worst(
            evaluation, dataset, num_worst, score_threshold, ignore_orientation
        ),
    ]
    scales = evaluation.scales
    if scales is not None and _find_known(scales).any():
        sections.append(_show_scales(scales, evaluation.strides))
    if others:
        sections.append(_show_others(others))
    if evaluation.seconds is not None:
        sections.append(_show_speed(evaluation))
    return make_page(
        title, [*facts.items(), *_describe_run(results)], headline, sections
    )


def _describe_run(results: Results) -> List[Any]:
    """Describe data and software, as names and values."""
    people = sum(len(results.coco.imgToAnns[i]) for i in results.image_ids)
    return [
        ('images', f'{len(results.image_ids)}'),
        ('annotations', f'{people}'),
        ('date', f'{datetime.now():%Y-%m-%d %H:%M}'),
        (
            'versions',
            f'swahr_mmpose {swahr_mmpose.__version__}, '
            f'mmpose {mmpose.__version__}, torch {torch.__version__}',
        ),
    ]


def _format_metric(value: Any) -> str:
    """Format a metric with three decimals, or as the string that it is."""
    return value if isinstance(value, str) else f'{float(value):.3f}'


def _split_metrics(
    metrics: Mapping[str, Any],
) -> Tuple[List[List[Tuple[str, str]]], List[Tuple[str, str]]]:
    """Split metrics into rows of AP and of AR, and others.

    Names of AP and AR have no prefix, unless several metrics share them.
    """
    names = {name: name.rpartition('/')[2] for name in metrics}
    counts = Counter(names.values())
    others: List[Tuple[str, str]] = []
    rows: Dict[str, List[Tuple[str, str]]] = dict(AP=[], AR=[])
    for name, value in metrics.items():
        short, text = names[name], _format_metric(value)
        kind = re.match(r'A[PR]\b', short)
        if kind is None:
            others.append((name, text))
        else:
            label = short if counts[short] == 1 else name
            rows[kind[0]].append((label, text))
    return list(rows.values()), others


def _show_others(metrics: Sequence[Tuple[str, str]]) -> Section:
    """Show the metrics that are not under the title."""
    table = make_table(('metric', 'value'), metrics)
    return Section('Other metrics', table)


def _show_precision(results: Results) -> Section:
    """Show precision and recall by OKS threshold."""
    chart = precision_chart(*precision_recall(results))
    return Section(
        'Precision and recall',
        figure_to_svg(chart),
        'A curve per OKS threshold. Where the curves of low thresholds stay '
        'high and those of high thresholds fall, people are found but '
        'keypoints are placed inexactly.',
    )


def _show_sizes(results: Results) -> Section:
    """Show AP by size of the people."""
    table = average_precision_by_size(results)
    return Section(
        'AP by size',
        make_table(
            ('size', 'people', 'AP'),
            [(name, *values) for name, values in table.items()],
        ),
        'Limits are areas of 32 x 32 and 96 x 96 px, as in COCO; COCO itself '
        'reports no AP of small people.',
    )


def _show_people(results: Results) -> Section:
    """Show AP by number of people in the image."""
    table = average_precision_by_people(results)
    return Section(
        'AP by number of people in the image',
        make_table(
            ('people', 'images', 'AP'),
            [(name, *values) for name, values in table.items()],
        ),
    )


def _show_errors(results: Results, metainfo: Mapping[str, Any]) -> Section:
    """Show the kinds of keypoint errors."""
    names: Dict[int, str] = metainfo['keypoint_id2name']
    keypoints = [names[k] for k in sorted(names)]
    counts = count_errors(
        find_matches(results), results.sigmas, metainfo.get('flip_indices')
    )
    rows = [
        (name, *(int(c) for c in row)) for name, row in zip(keypoints, counts)
    ]
    rows.append(('all', *(int(c) for c in counts.sum(axis=0))))
    chart = figure_to_svg(error_chart(counts, keypoints, ERROR_KINDS))
    return Section(
        'Kinds of keypoint errors',
        chart + make_table(('keypoint', *ERROR_KINDS), rows),
        'Labelled keypoints of people that are matched at an OKS of .1 '
        '(Ronchi and Perona, ICCV 2017). good: similarity of .85 or more; '
        'jitter: .5 or more; inversion: near the left/right counterpart of '
        'the same person; swap: near a keypoint of another person; miss: '
        'elsewhere.',
    )


def _find_known(people: PersonScales) -> np.ndarray:
    """Find the people whose scales are finite, bool (N,).

    They are NaN without a keypoint in the image, and infinite if 1/s is not
    positive.
    """
    return np.isfinite(people.scales).all(axis=0)


def _show_scales(people: PersonScales, strides: Sequence[int]) -> Section:
    """Show the learned scales of people against their size."""
    known = _find_known(people)
    sizes, scales = people.sizes[known], people.scales[:, known]
    names = [f'1/{stride}' for stride in strides]
    correlations = ', '.join(
        f'{rank_correlation(sizes, level):.2f} at {name}'
        for name, level in zip(names, scales)
    )
    return Section(
        'Learned scales',
        figure_to_svg(scale_chart(sizes, scales, names)),
        f'Scale s of {len(sizes)} annotated people, where it acts '
        f'(weights H |ln H|). Rank correlation with the size: {correlations}.',
    )


def _show_speed(evaluation: Evaluation) -> Section:
    """Show the speed of the test."""
    number, seconds = len(evaluation.results.image_ids), evaluation.seconds
    assert seconds is not None
    text = (
        f'{number / max(seconds, 1e-9):.2f} images per second on '
        f'{evaluation.device}, {seconds:.1f} s in all, with reading of images '
        'and evaluation.'
    )
    return Section('Speed', f'<p>{text}</p>')


def _show_worst(
    evaluation: Evaluation,
    dataset: Any,
    number: int,
    threshold: float,
    ignore_orientation: bool,
) -> Section:
    """Show the images with the worst predictions."""
    results, filled = evaluation.results, evaluation.filled or {}
    paths = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        paths[info['img_id']] = info['img_path']
    worst = [s for s in score_images(results, threshold) if s[0] in paths]
    links = dataset.metainfo['skeleton_links']
    pairs = [
        _draw_pair(
            results,
            score,
            read_image(paths[score.image_id], ignore_orientation),
            links,
            threshold,
            filled.get(score.image_id),
            osp.basename(paths[score.image_id].replace('\\', '/')),
        )
        for score in worst[:number]
    ]
    return Section(
        'Worst images',
        make_gallery(pairs) if pairs else '<p>none</p>',
        'Ground truth on the left, predictions with an instance score of '
        f'{threshold:g} or more on the right. Images are ordered by the sum '
        'of the OKS of matched people over the number of people and false '
        'detections.',
    )


def _draw_pair(
    results: Results,
    score: ImageScore,
    image: np.ndarray,
    links: Sequence[Any],
    threshold: float,
    filled: Optional[Tuple[np.ndarray, np.ndarray]],
    name: str,
) -> ImagePair:
    """Draw ground truth and predictions of a BGR image."""
    image = np.ascontiguousarray(image[..., ::-1])
    truth = [
        a
        for a in results.coco.imgToAnns[score.image_id]
        if not a.get('iscrowd')
    ]
    predicted = [
        p
        for p in results.predictions.imgToAnns[score.image_id]
        if p['score'] >= threshold
    ]
    caption = (
        f'{name}: score {score.score:.2f}, {score.num_people} people, '
        f'{score.num_missed} missed, {score.num_false} false'
    )
    drawn = put_side_by_side(
        _draw_people(image, truth, links),
        _draw_people(image, predicted, links, filled),
    )
    return ImagePair(drawn, caption)


def _draw_people(
    image: np.ndarray,
    people: Sequence[Any],
    links: Sequence[Any],
    filled: Optional[Tuple[np.ndarray, np.ndarray]] = None,
) -> np.ndarray:
    """Draw annotations or results; labelled keypoints have a score."""
    if not people:
        return image
    entries = np.array([p['keypoints'] for p in people], float)
    entries = entries.reshape(len(people), -1, 3)
    points, scores = entries[..., :2], entries[..., 2]
    if filled is not None and len(filled[0]):
        scores = np.where(_find_filled(points, *filled), 0.0, scores)
    return draw_poses(image, points, scores, links)


def _find_filled(
    points: np.ndarray, keypoints: np.ndarray, filled: np.ndarray
) -> np.ndarray:
    """Find the masks (M, K) of results by their keypoints (M, K, 2).

    A metric may sort and remove people: each is the nearest prediction.
    """
    distances = np.abs(points[:, None] - keypoints[None]).sum(axis=(2, 3))
    return filled[distances.argmin(axis=1)]

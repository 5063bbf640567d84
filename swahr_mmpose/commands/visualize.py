# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Draw predicted poses and scale maps of test images.

  %(prog)s CONFIG CHECKPOINT --out-dir figures
  # published weights, fetched at the first use
  %(prog)s swahr-w32
  # forty images of the training set, and the scale map of one keypoint
  %(prog)s CONFIG CHECKPOINT --max-images 40 --split train \
      --keypoint left_ankle
  # targets, adapted targets and predicted heatmaps
  %(prog)s CONFIG CHECKPOINT --targets

Each figure shows the poses and, beside them, the map of 1/s at the 1/2 level
(Figure 5 of the paper): red where the network requests narrower Gaussians. It
is averaged over the keypoints and faded by the predicted heatmaps; where no
keypoint is predicted the scale has no effect. With --targets it shows an
augmented training image with its targets before and after adaptation (Figure
1) and the predicted heatmaps, one row per level.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Tuple

from swahr_mmpose.commands.browse_dataset import name_samples
from swahr_mmpose.utils.argument_checks import require_fraction, require_model
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import (
    Argv,
    add_cfg_options,
    add_model_arguments,
    make_parser,
    merge_options,
    parse_count,
    user_errors,
)
from swahr_mmpose.utils.progress import track

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

__all__ = ['draw_people', 'draw_targets', 'main']


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add_model_arguments(parser)
    parser.add_argument(
        '--out-dir', default='figures', help='folder of the figures'
    )
    parser.add_argument(
        '--max-images',
        type=parse_count,
        default=8,
        help='number of images to draw',
    )
    parser.add_argument(
        '--sheet',
        metavar='FILE',
        help='file to write all figures to as one image (.jpg or .png)',
    )
    parser.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default='test',
        help='split of the dataset',
    )
    _add_drawing_options(parser)
    add_cfg_options(parser)
    parser.check = check_args
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Check the options, without torch.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        OSError, ValueError: If the model does not exist, or a score is out of
            range.
    """
    require_model(args.config, args.checkpoint)
    require_fraction('--score-thr', args.score_thr)


def _add_drawing_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is drawn, and the device."""
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.2,
        help='minimum instance score, 0 to 1',
    )
    parser.add_argument(
        '--keypoint',
        help='name of the keypoint whose map is drawn (default: all)',
    )
    parser.add_argument(
        '--draw-filled',
        action='store_true',
        help='also draw keypoints that were filled in after grouping',
    )
    parser.add_argument(
        '--targets',
        action='store_true',
        help='draw targets and heatmaps instead of poses',
    )
    parser.add_argument(
        '--device',
        help='device, for example cpu, cuda:1 or mps (default: a GPU if there '
        'is one)',
    )


def draw_people(
    model: Any, dataset: Any, index: int, args: argparse.Namespace
) -> Tuple[str, Figure]:
    """Draw the predicted poses and the scale map of a test image.

    Args:
        model (BottomupPyramidPoseEstimator): Model.
        dataset (BaseDataset): Dataset with a test pipeline.
        index (int): Index of the image.
        args (argparse.Namespace): Options ``score_thr``, ``keypoint`` and
            ``draw_filled``.

    Returns:
        tuple[str, Figure]: Stem of the image file, and the figure.
    """
    from swahr_mmpose.apis.loading import keypoint_index
    from swahr_mmpose.visualization.scale_maps import (
        Placement,
        pose_and_scale_figure,
        scale_map,
    )

    with user_errors():
        sample = dataset[index]
    result, maps = _predict(model, sample)
    info = result.metainfo
    image, poses, count = _draw_poses(result, dataset, args)
    placement = Placement(
        info['input_size'], info['input_center'], info['input_scale']
    )
    scales = None
    if maps:
        keypoint = keypoint_index(dataset.metainfo, args.keypoint)
        alpha, heatmaps = maps
        scales = scale_map(alpha, heatmaps, keypoint)
    name = Path(info['img_path']).stem
    title = f'{name}, people: {count}'
    return name, pose_and_scale_figure(image, poses, scales, placement, title)


def _draw_poses(
    result: Any, dataset: Any, args: argparse.Namespace
) -> Tuple[np.ndarray, np.ndarray, int]:
    """Draw poses on the image; return the image, the drawing, the number."""
    import cv2
    import numpy as np

    from swahr_mmpose.visualization.drawing import draw_poses
    from swahr_mmpose.visualization.inspection import links_of

    people = result.pred_instances
    keep = people.bbox_scores > args.score_thr
    scores = people.keypoint_scores
    if not args.draw_filled:
        scores = np.where(people.keypoints_filled, 0, scores)
    # Upright or as stored, as the test pipeline reads it.
    load = dataset.pipeline.transforms[0]
    image = load(dict(img_path=result.metainfo['img_path']))['img']
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    links = links_of(dataset.metainfo)
    poses = draw_poses(image, people.keypoints[keep], scores[keep], links)
    return image, poses, int(keep.sum())


def _predict(model: Any, sample: dict) -> Tuple[Any, List[np.ndarray]]:
    """Predict people, and alpha and heatmaps of the 1/2 level if any."""
    import torch
    from mmengine.dataset import pseudo_collate

    batch = pseudo_collate([sample])
    with torch.no_grad():
        result = model.test_step(batch)[0]
        images = model.data_preprocessor(batch)['inputs']
        images = images if torch.is_tensor(images) else images[0]
        output = model.head(model.extract_feat(images), with_scale_maps=True)
    if not output.scale_maps:
        return result, []
    levels = (output.scale_maps[-1], output.heatmaps[-1])
    return result, [maps[0].float().cpu().numpy() for maps in levels]


def draw_targets(
    model: Any, dataset: Any, index: int, args: argparse.Namespace
) -> Tuple[str, Figure]:
    """Draw targets and predicted heatmaps of a training sample.

    Args:
        model (BottomupPyramidPoseEstimator): Model.
        dataset (BaseDataset): Dataset with a training pipeline.
        index (int): Index of the image.
        args (argparse.Namespace): Option ``keypoint``.

    Returns:
        tuple[str, Figure]: Stem of the file of the figure, and the figure.
    """
    from swahr_mmpose.apis.loading import keypoint_index
    from swahr_mmpose.datasets.seeding import SeededIndex
    from swahr_mmpose.visualization.inspection import inspect_sample, links_of
    from swahr_mmpose.visualization.target_figures import target_figure

    with user_errors():
        sample = dataset[SeededIndex(index, (0, 0, index))]
    name = Path(sample['data_samples'].metainfo['img_path']).stem
    figure = target_figure(
        inspect_sample(model, sample),
        links_of(dataset.metainfo),
        keypoint_index(dataset.metainfo, args.keypoint),
        name,
    )
    return f'{name}_targets', figure


def _write_sheet(path: str, images: List[np.ndarray]) -> None:
    """Write all figures as one image."""
    import cv2

    from swahr_mmpose.visualization.target_figures import arrange_sheet

    sheet = arrange_sheet(images, columns=3, width=1800)
    content = cv2.imencode(Path(path).suffix, sheet[..., ::-1])[1]
    with replaced_file(path) as stream:
        stream.write(content.tobytes())
    print(f'all figures: {os.path.abspath(path)}')


def main(argv: Argv = None) -> None:
    """Draw the figures."""
    args = parse_args(argv)
    from swahr_mmpose.apis.loading import (
        keypoint_index,
        load_dataset,
        load_model,
    )
    from swahr_mmpose.checkpoints.model_zoo import resolve_model
    from swahr_mmpose.utils.device import find_default_device
    from swahr_mmpose.visualization.target_figures import figure_to_image

    with user_errors():
        cfg, checkpoint = resolve_model(args.config, args.checkpoint)
        merge_options(cfg, args.cfg_options)
        device = args.device or find_default_device()
        # Scale maps of the checkpoint, if the config has a scale branch.
        has_scales = cfg.model.head.get('scale_maps', True)
        model = load_model(cfg, checkpoint, device, has_scales or None)
        dataset = load_dataset(cfg, args.split, training=args.targets)
        keypoint_index(dataset.metainfo, args.keypoint)
    draw = draw_targets if args.targets else draw_people
    drawn = []
    count = min(args.max_images, len(dataset))
    stems = name_samples(dataset, range(count))
    suffix = '_targets' if args.targets else ''
    for index in track(range(count), unit='figures'):
        _, figure = draw(model, dataset, index, args)
        path = os.path.join(args.out_dir, f'{stems[index]}{suffix}.png')
        with user_errors(), replaced_file(path) as stream:
            figure.savefig(stream, dpi=110, format='png')
        if args.sheet:
            drawn.append(figure_to_image(figure, dpi=110))
    print(f'figures are in {os.path.abspath(args.out_dir)}')
    if drawn:
        _write_sheet(args.sheet, drawn)

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Draw predicted poses and scale maps of test images.

  %(prog)s CONFIG CHECKPOINT --out-dir figures
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

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from tqdm import tqdm

from swahr_mmpose.apis.loading import keypoint_index, load_dataset, load_model
from swahr_mmpose.datasets.seeding import SeededIndex
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import (
    add_cfg_options,
    make_parser,
    read_config,
    user_errors,
)
from swahr_mmpose.utils.device import find_default_device
from swahr_mmpose.visualization.drawing import draw_poses
from swahr_mmpose.visualization.inspection import inspect_sample, links_of
from swahr_mmpose.visualization.scale_maps import (
    Placement,
    pose_and_scale_figure,
    scale_map,
)
from swahr_mmpose.visualization.target_figures import (
    arrange_sheet,
    figure_to_image,
    target_figure,
)


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out-dir', default='figures', help='folder of the figures'
    )
    parser.add_argument(
        '--max-images', type=int, default=8, help='number of images to draw'
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
    add_drawing_options(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def add_drawing_options(parser):
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
        default=find_default_device(),
        help='device, for example cpu, cuda:1 or mps',
    )


@torch.no_grad()
def draw_people(model, dataset, index, args):
    """Draw the predicted poses and the scale map of a test image."""
    batch = pseudo_collate([dataset[index]])
    result = model.test_step(batch)[0]
    images = model.data_preprocessor(batch)['inputs']
    images = images if torch.is_tensor(images) else images[0]
    output = model.head(model.extract_feat(images), with_scale_maps=True)
    people = result.pred_instances
    keep = people.bbox_scores > args.score_thr
    scores = people.keypoint_scores
    if not args.draw_filled:
        scores = np.where(people.keypoints_filled, 0, scores)
    path = result.metainfo['img_path']
    # Upright or as stored, as the test pipeline reads it.
    image = dataset.pipeline.transforms[0](dict(img_path=path))['img']
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    poses = draw_poses(
        image, people.keypoints[keep], scores[keep], links_of(dataset.metainfo)
    )
    name = Path(path).stem
    info = result.metainfo
    placement = Placement(
        info['input_size'], info['input_center'], info['input_scale']
    )
    scales = None
    if output.scale_maps:
        alpha, heatmaps = (
            maps[-1][0].float().cpu().numpy()
            for maps in (output.scale_maps, output.heatmaps)
        )
        keypoint = keypoint_index(dataset.metainfo, args.keypoint)
        scales = scale_map(alpha, heatmaps, keypoint)
    title = f'{name}, people: {int(keep.sum())}'
    return name, pose_and_scale_figure(image, poses, scales, placement, title)


def draw_targets(model, dataset, index, args):
    """Draw targets and predicted heatmaps of a training sample."""
    sample = dataset[SeededIndex(index, (0, 0, index))]
    name = Path(sample['data_samples'].metainfo['img_path']).stem
    figure = target_figure(
        inspect_sample(model, sample),
        links_of(dataset.metainfo),
        keypoint_index(dataset.metainfo, args.keypoint),
        name,
    )
    return f'{name}_targets', figure


def write_sheet(path, images):
    """Write all figures as one image."""
    sheet = arrange_sheet(images, columns=3, width=1800)
    content = cv2.imencode(Path(path).suffix, sheet[..., ::-1])[1]
    with replaced_file(path) as stream:
        stream.write(content.tobytes())
    print(f'all figures: {os.path.abspath(path)}')


def main():
    """Draw the figures."""
    args = parse_args()
    with user_errors():
        cfg = read_config(args.config)
        cfg.merge_from_dict(args.cfg_options)
        model = load_model(cfg, args.checkpoint, args.device)
        dataset = load_dataset(cfg, args.split, training=args.targets)
        keypoint_index(dataset.metainfo, args.keypoint)
    draw = draw_targets if args.targets else draw_people
    drawn = []
    for index in tqdm(range(min(args.max_images, len(dataset)))):
        name, figure = draw(model, dataset, index, args)
        with replaced_file(f'{args.out_dir}/{name}.png') as stream:
            figure.savefig(stream, dpi=110, format='png')
        if args.sheet:
            drawn.append(figure_to_image(figure, dpi=110))
    print(f'figures are in {os.path.abspath(args.out_dir)}')
    if drawn:
        write_sheet(args.sheet, drawn)


if __name__ == '__main__':
    main()

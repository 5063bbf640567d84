# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Draw predicted poses and scale maps of test images.

  python tools/analysis_tools/visualize.py CONFIG CHECKPOINT --out-dir pictures
  # forty images of the training set, and the scale map of one keypoint
  python tools/analysis_tools/visualize.py CONFIG CHECKPOINT --num-images 40 --split train \
      --keypoint left_ankle
  # what the network makes of its targets
  python tools/analysis_tools/visualize.py CONFIG CHECKPOINT --targets

A picture shows the poses and, beside them, the map 1/s averaged over the
keypoints (Figure 5 of the paper): red where the network asks for narrower
Gaussians.  With --targets it shows an augmented image with its targets,
plain and as the network adapts them (Figure 1), and the predicted heatmaps, a
row for each level.
"""

import os
from pathlib import Path

import cv2
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from tqdm import tqdm

from swahr_mmpose.apis.loading import keypoint_index, load_dataset, load_model
from swahr_mmpose.datasets.seeding import SeededIndex
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import add_cfg_options, make_parser, user_errors
from swahr_mmpose.visualization.drawing import (
    Placement,
    draw_poses,
    pose_and_scale_figure,
)
from swahr_mmpose.visualization.inspection import inspect_sample, links_of
from swahr_mmpose.visualization.target_figures import target_figure


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out-dir', default='pictures', help='folder of the pictures'
    )
    parser.add_argument(
        '--num-images', type=int, default=8, help='how many, from the first on'
    )
    parser.add_argument(
        '--split', choices=['train', 'val', 'test'], default='test'
    )
    parser.add_argument(
        '--min-score', type=float, default=0.2, help='draw people that score'
    )
    parser.add_argument(
        '--keypoint', help='whose scale map or target (default: all)'
    )
    parser.add_argument(
        '--targets',
        action='store_true',
        help='draw targets and heatmaps instead of poses',
    )
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    add_cfg_options(parser)
    return parser.parse_args()


@torch.no_grad()
def draw_people(model, dataset, index, args):
    """Poses and scale map of a test image."""
    batch = pseudo_collate([dataset[index]])
    result = model.test_step(batch)[0]
    images = model.data_preprocessor(batch)['inputs']
    images = images if torch.is_tensor(images) else images[0]
    output = model.head(model.extract_feat(images), with_scale_maps=True)
    people = result.pred_instances
    keep = people.bbox_scores > args.min_score
    path = result.metainfo['img_path']
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.cvtColor(cv2.imread(path, flags), cv2.COLOR_BGR2RGB)
    poses = draw_poses(
        image,
        people.keypoints[keep],
        people.keypoint_scores[keep],
        links_of(dataset.metainfo),
    )
    maps = output.scale_maps and output.scale_maps[-1][0].cpu().numpy()
    name = Path(path).stem
    info = result.metainfo
    placement = Placement(
        info['input_size'], info['input_center'], info['input_scale']
    )
    title = f'{name}, people: {int(keep.sum())}'
    keypoint = keypoint_index(dataset.metainfo, args.keypoint)
    return name, pose_and_scale_figure(poses, maps, placement, title, keypoint)


def draw_targets(model, dataset, index, args):
    """Targets and heatmaps of a training sample."""
    sample = dataset[SeededIndex(index, (0, 0, index))]
    name = Path(sample['data_samples'].metainfo['img_path']).stem
    figure = target_figure(
        inspect_sample(model, sample),
        links_of(dataset.metainfo),
        keypoint_index(dataset.metainfo, args.keypoint),
        name,
    )
    return f'{name}_targets', figure


def main():
    """Draw."""
    args = parse_args()
    with user_errors():
        cfg = Config.fromfile(args.config)
        cfg.merge_from_dict(args.cfg_options)
        model = load_model(cfg, args.checkpoint, args.device)
        dataset = load_dataset(cfg, args.split, training=args.targets)
        keypoint_index(dataset.metainfo, args.keypoint)
    draw = draw_targets if args.targets else draw_people
    for index in tqdm(range(min(args.num_images, len(dataset)))):
        name, figure = draw(model, dataset, index, args)
        with replaced_file(f'{args.out_dir}/{name}.png') as stream:
            figure.savefig(stream, dpi=110, format='png')
    print(f'pictures are in {os.path.abspath(args.out_dir)}')


if __name__ == '__main__':
    main()

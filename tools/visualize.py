# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Draw predicted poses and scale maps of test images.

  python tools/visualize.py CONFIG CHECKPOINT --out-dir pictures
  # forty images of the training set
  python tools/visualize.py CONFIG CHECKPOINT --num-images 40 --split train

A picture shows the poses and, beside them, the map 1/s averaged over the
keypoints (Figure 5 of the paper): red where the network asks for narrower
Gaussians.
"""

import io
import os
from pathlib import Path

import cv2
import torch
from mmengine.config import Config, DictAction
from mmengine.dataset import pseudo_collate
from tqdm import tqdm

from swahr_mmpose.apis import load_dataset, load_model
from swahr_mmpose.cli import make_parser
from swahr_mmpose.visualization import (
    Placement,
    draw_poses,
    pose_and_scale_figure,
)


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
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}
    )
    return parser.parse_args()


@torch.no_grad()
def draw(model, sample, links, min_score):
    """The figure of one sample."""
    batch = pseudo_collate([sample])
    result = model.test_step(batch)[0]
    images = model.data_preprocessor(batch)['inputs']
    images = images if torch.is_tensor(images) else images[0]
    output = model.head(model.extract_feat(images), with_scale_maps=True)
    people = result.pred_instances
    keep = people.bbox_scores > min_score
    path = result.metainfo['img_path']
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.cvtColor(cv2.imread(path, flags), cv2.COLOR_BGR2RGB)
    poses = draw_poses(
        image, people.keypoints[keep], people.keypoint_scores[keep], links
    )
    maps = output.scale_maps and output.scale_maps[-1][0].cpu().numpy()
    name = Path(path).stem
    info = result.metainfo
    placement = Placement(
        info['input_size'], info['input_center'], info['input_scale']
    )
    return name, pose_and_scale_figure(
        poses, maps, placement, f'{name}: {int(keep.sum())} people'
    )


def main():
    """Draw."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    model = load_model(cfg, args.checkpoint, args.device)
    dataset = load_dataset(cfg, args.split)
    os.makedirs(args.out_dir, exist_ok=True)
    links = dataset.metainfo['skeleton_links']
    for index in tqdm(range(min(args.num_images, len(dataset)))):
        name, figure = draw(model, dataset[index], links, args.min_score)
        whole = io.BytesIO()
        figure.savefig(whole, dpi=110)
        (Path(args.out_dir) / f'{name}.png').write_bytes(whole.getvalue())
    print(f'pictures are in {os.path.abspath(args.out_dir)}')


if __name__ == '__main__':
    main()

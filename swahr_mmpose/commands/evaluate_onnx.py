# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Test an exported model on the config's test set, and time it.

  %(prog)s CONFIG model.onnx
  # in one thread, and by turns with the model that it was made of
  %(prog)s CONFIG model.onnx --threads 1 --checkpoint IN.pth

Printed are the metrics of the config, and the median and middle half of the
milliseconds for an image: resizing, network and all that follows, without
reading the file.
"""

from __future__ import annotations

import argparse
import copy
import time

import cv2
import mmengine
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from tqdm import tqdm

from swahr_mmpose.apis.loading import load_dataset, load_model
from swahr_mmpose.deploy.runtime import PoseModel
from swahr_mmpose.utils.cli import Argv, add_cfg_options, make_parser


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        'model', help='file of tools/deployment/export_onnx.py'
    )
    parser.add_argument('--checkpoint', help='test the PyTorch model as well')
    parser.add_argument(
        '--threads', type=int, help='of the network, on both sides'
    )
    parser.add_argument('--out', metavar='FILE', help='write results (.json)')
    add_cfg_options(parser)
    return parser.parse_args(argv)


class Exported:
    """The exported model."""

    def __init__(self, args):
        self.model = PoseModel(args.model, threads=args.threads)

    def __call__(self, image, sample):
        """Run the whole of it."""
        poses = self.model(image)
        found = InstanceData(
            keypoints=poses.keypoints,
            keypoint_scores=poses.keypoint_scores,
            bbox_scores=poses.scores,
        )
        result = copy.deepcopy(sample['data_samples'])
        result.pred_instances = found
        return result


class Trained:
    """The PyTorch model behind the transforms of the test pipeline."""

    def __init__(self, args, cfg, dataset):
        self.model = load_model(cfg, args.checkpoint)
        self.pipeline = dataset.pipeline

    @torch.no_grad()
    def __call__(self, image, sample):
        """Run the same stretch."""
        results = dict(sample['data_samples'].metainfo, img=image)
        return self.model.test_step(pseudo_collate([self.pipeline(results)]))[
            0
        ]


def run(sides, dataset, evaluators):
    """Every image by each side; the seconds of each."""
    seconds = {name: [] for name in sides}
    for sample in tqdm(dataset):
        path = sample['data_samples'].metainfo['img_path']
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imread(path, flags)
        for name, side in sides.items():
            started = time.perf_counter()
            result = side(image, sample)
            seconds[name].append(time.perf_counter() - started)
            evaluators[name].process([result])
    return seconds


def main(argv: Argv = None) -> None:
    """Test."""
    args = parse_args(argv)
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    if args.threads:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    dataset = load_dataset(cfg)
    sides = {'exported': Exported(args)}
    if args.checkpoint:
        sides['PyTorch'] = Trained(args, cfg, dataset)
    evaluators = {name: Evaluator(cfg.test_evaluator) for name in sides}
    for evaluator in evaluators.values():
        evaluator.dataset_meta = dataset.metainfo
    seconds = run(sides, dataset, evaluators)
    results = {}
    for name in sides:
        metrics = evaluators[name].evaluate(len(dataset))
        quarters = np.percentile(np.array(seconds[name]) * 1e3, [25, 50, 75])
        results[name] = dict(metrics, ms=quarters.round(2).tolist())
    for name, result in results.items():
        low, middle, high = result['ms']
        print(f'{name}: {middle:.1f} ms ({low:.1f}-{high:.1f}) per image')
        for key, value in result.items():
            if key != 'ms':
                print(f'  {key}: {value:.4f}')
    if args.out:
        mmengine.dump(results, args.out)

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Evaluate an exported model on the test set of the config, and time it.

  %(prog)s CONFIG model.onnx
  # a model of "swahr onnx export higherhrnet-w32"
  %(prog)s higherhrnet-w32 model.onnx
  # on one thread, interleaved with the PyTorch model
  %(prog)s CONFIG model.onnx --threads 1 --checkpoint CHECKPOINT.pth

Prints the metrics of the config and the milliseconds per image, median and
interquartile range: resizing, network and decoding, without reading the file.
"""

from __future__ import annotations

import argparse
import copy
import time
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Sequence

from swahr_mmpose.deploy.requirements import require_packages
from swahr_mmpose.utils.argument_checks import (
    require_checkpoint,
    require_onnx,
    require_output,
)
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import (
    Argv,
    add_cfg_options,
    make_parser,
    merge_options,
    user_errors,
)
from swahr_mmpose.utils.config import require_config
from swahr_mmpose.utils.model_index import find_model, is_model_name
from swahr_mmpose.utils.progress import track
from swahr_mmpose.utils.quiet import hide_coco_messages

if TYPE_CHECKING:
    import numpy as np
    from mmengine.config import Config

    from swahr_mmpose.deploy.runtime import PoseModel

__all__ = ['main']

# Function of a BGR image and a test sample to a PoseDataSample.
Predictor = Callable[['np.ndarray', dict], Any]


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'config',
        help='config file, or a name of "swahr fetch", such as '
        'higherhrnet-w32',
    )
    parser.add_argument(
        'model', help='ONNX file of tools/deployment/export_onnx.py'
    )
    parser.add_argument(
        '--checkpoint',
        help='checkpoint of the PyTorch model to evaluate as well',
    )
    parser.add_argument(
        '--threads',
        type=int,
        metavar='N',
        help='number of CPU threads of both models',
    )
    parser.add_argument(
        '--out-file', metavar='FILE', help='results file (.json)'
    )
    add_cfg_options(parser)
    parser.check = check_args
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Check that the inputs exist, without torch.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        OSError, ValueError: If a file does not exist or is of another type,
            or a short name is unknown.
    """
    if is_model_name(args.config):
        find_model(args.config)
    else:
        require_config(args.config)
    require_onnx(args.model)
    if args.checkpoint is not None:
        require_checkpoint(args.checkpoint)
    require_output('--out-file', args.out_file, ['.json'])


class ExportedPredictor:
    """Prediction with the exported model.

    Args:
        model (PoseModel): Exported model.
    """

    def __init__(self, model: PoseModel) -> None:
        self.model = model

    def __call__(self, image: np.ndarray, sample: dict) -> Any:
        """Predict people, from the BGR image to instances."""
        from mmengine.structures import InstanceData

        poses = self.model(image)
        result = copy.deepcopy(sample['data_samples'])
        result.pred_instances = InstanceData(
            keypoints=poses.keypoints,
            keypoint_scores=poses.keypoint_scores,
            bbox_scores=poses.scores,
            keypoints_filled=poses.filled,
        )
        return result


class TorchPredictor:
    """Prediction with the PyTorch model and the test pipeline.

    Args:
        model (nn.Module): Pose estimator.
        pipeline (Compose): Test pipeline.
    """

    def __init__(self, model: Any, pipeline: Any) -> None:
        self.model, self.pipeline = model, pipeline

    def __call__(self, image: np.ndarray, sample: dict) -> Any:
        """Predict people, from the BGR image to instances."""
        import torch
        from mmengine.dataset import pseudo_collate

        results = dict(sample['data_samples'].metainfo, img=image)
        batch = pseudo_collate([self.pipeline(results)])
        with torch.no_grad():
            return self.model.test_step(batch)[0]


def main(argv: Argv = None) -> None:
    """Evaluate the models, print the results and write them."""
    args = parse_args(argv)
    require_packages('onnxruntime')
    import cv2
    import mmengine
    import torch

    from swahr_mmpose.apis.loading import load_dataset
    from swahr_mmpose.checkpoints.model_zoo import resolve_config
    from swahr_mmpose.datasets.checks.preflight import check_evaluators

    if args.threads:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    with user_errors():
        cfg = resolve_config(args.config)
        merge_options(cfg, args.cfg_options)
        dataset = load_dataset(cfg)
        check_evaluators(cfg, 'test')
        predictors = _load_predictors(args, cfg, dataset)
    results = evaluate(predictors, dataset, cfg.test_evaluator)
    _print_results(results)
    if args.out_file:
        with user_errors(), replaced_file(args.out_file) as stream:
            text = mmengine.dump(results, file_format='json')
            stream.write(f'{text}\n'.encode())


def _load_predictors(
    args: argparse.Namespace, cfg: Config, dataset: Any
) -> Dict[str, Predictor]:
    """Load the exported model and, with a checkpoint, the PyTorch model."""
    from swahr_mmpose.apis.loading import load_model
    from swahr_mmpose.deploy.runtime import PoseModel

    exported = PoseModel(args.model, threads=args.threads)
    refuse_other_keypoints(
        exported.settings.keypoints, dataset.metainfo, args.model
    )
    predictors: Dict[str, Predictor] = {
        'exported': ExportedPredictor(exported)
    }
    if args.checkpoint:
        model = load_model(cfg, args.checkpoint)
        predictors['PyTorch'] = TorchPredictor(model, dataset.pipeline)
    return predictors


def refuse_other_keypoints(
    names: Sequence[str], metainfo: Mapping[str, Any], path: str
) -> None:
    """Raise unless an exported model has the keypoints of the dataset.

    Args:
        names (Sequence[str]): Keypoint names of the model, in its order.
        metainfo (Mapping): Metainfo of the dataset.
        path (str): ONNX file, for the message.

    Raises:
        ValueError: If number, names or order differ.
    """
    expected = metainfo['keypoint_id2name']
    pairs = zip_longest(names, (expected[k] for k in sorted(expected)))
    for index, (ours, theirs) in enumerate(pairs):
        if ours != theirs:
            raise ValueError(
                f'{path} has {len(names)} keypoints, the dataset of the '
                f'config {len(expected)}; keypoint {index} is {ours!r} in the '
                f'model and {theirs!r} in the dataset. Give the config of the '
                'training, or export the model of this config'
            )


def evaluate(
    predictors: Dict[str, Predictor], dataset: Any, metrics: Any
) -> Dict[str, Dict[str, Any]]:
    """Evaluate and time predictors, interleaved on each image.

    Args:
        predictors (dict): Predictors by name.
        dataset (BaseDataset): Dataset with the test pipeline.
        metrics (dict | list): Configs of the metrics.

    Returns:
        dict: For each predictor the metrics and ``ms``, the quartiles of the
        milliseconds per image.
    """
    import numpy as np
    from mmengine.evaluator import Evaluator

    with hide_coco_messages():
        evaluators = {name: Evaluator(metrics) for name in predictors}
    for evaluator in evaluators.values():
        evaluator.dataset_meta = dataset.metainfo
    seconds: Dict[str, List[float]] = {name: [] for name in predictors}
    load = dataset.pipeline.transforms[0]  # upright, or as stored
    for sample in track(dataset):
        path = sample['data_samples'].metainfo['img_path']
        image = load(dict(img_path=path))['img']
        for name, predict in predictors.items():
            started = time.perf_counter()
            result = predict(image, sample)
            seconds[name].append(time.perf_counter() - started)
            evaluators[name].process([result])
    results = {}
    for name, evaluator in evaluators.items():
        with hide_coco_messages():
            values = evaluator.evaluate(len(dataset))
        quartiles = np.percentile(np.array(seconds[name]) * 1e3, [25, 50, 75])
        results[name] = dict(values, ms=quartiles.round(2).tolist())
    return results


def _print_results(results: Dict[str, Dict[str, Any]]) -> None:
    """Print times and metrics."""
    for name, values in results.items():
        low, median, high = values['ms']
        print(f'{name}: {median:.1f} ms ({low:.1f}-{high:.1f}) per image')
        for key, value in values.items():
            if key != 'ms':
                text = value if isinstance(value, str) else f'{value:.4f}'
                print(f'  {key}: {text}')

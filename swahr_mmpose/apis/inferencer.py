# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Inference on images, folders, videos and cameras.

N people, K keypoints::

    from swahr_mmpose.apis.inferencer import Inferencer

    infer = Inferencer('CONFIG.py', 'CHECKPOINT.pth', threshold=0.3)
    for result in infer('photos/'):
        print(result.name, result.keypoints.shape, result.scores)

Dataset files are not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import (
    Any,
    Callable,
    Dict,
    Hashable,
    Iterable,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
    cast,
)

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate

from swahr_mmpose.checkpoints.model_zoo import resolve_model
from swahr_mmpose.evaluation.pose_nms import select_people
from swahr_mmpose.utils.argument_checks import require_fraction
from swahr_mmpose.utils.config import name_types
from swahr_mmpose.utils.config_options import check_option_values
from swahr_mmpose.utils.device import find_default_device
from swahr_mmpose.utils.registry_errors import build_errors

from .input_sources import Inputs, Item, Source, open_source
from .loading import ignores_orientation, load_model
from .prefetch import batch_by_key, prefetch_map, restore_order
from .result import Result

__all__ = ['Inferencer', 'Result']

OnError = Callable[[Item, Exception], None]


@dataclass(frozen=True, eq=False)
class _LoadedItem:
    """An item with image and pipeline output, or with the error."""

    item: Item
    image: Any = None
    sample: Any = None
    error: Optional[Exception] = None

    def input_shapes(self) -> Hashable:
        """Shapes of the network inputs, which are equal within a batch."""
        inputs = self.sample['inputs']
        levels = inputs if isinstance(inputs, list) else [inputs]
        return tuple(tuple(level.shape) for level in levels)


def _check_arguments(
    threshold: float, nms: Optional[float], **counts: Optional[int]
) -> None:
    """Raise ValueError for arguments out of range."""
    for name, number in counts.items():
        if number is None:
            continue
        if not isinstance(number, (int, np.integer)) or number < 1:
            raise ValueError(f'{name} must be 1 or more, got {number!r}')
    require_fraction('threshold', threshold)
    if nms is not None:
        require_fraction('nms', nms, 'an OKS')


def _load_config(
    config: Union[str, Config], checkpoint: Optional[str], options: dict
) -> Tuple[Config, str]:
    """Load or copy a config, override settings and find the checkpoint."""
    if not isinstance(config, Config):
        cfg, path = resolve_model(config, checkpoint)
    elif checkpoint is not None:
        cfg, path = name_types(config), checkpoint
    else:
        raise ValueError('a Config needs a checkpoint; give its path')
    check_option_values(cfg, options)
    cfg.merge_from_dict(options)
    return cfg, path


def _set_options(
    model: Any, flip: Optional[bool], fill_missing: Optional[bool]
) -> None:
    """Override settings of a model; None leaves them as in the config."""
    if flip is not None:
        model.test_cfg['flip_test'] = flip
    if fill_missing is not None:
        model.head.decoder.decode_fill_missing = fill_missing


class Inferencer:
    """Inference with one model on any number of inputs.

    Args:
        config (str | Config): Config of the training, or a short name of
            :mod:`~swahr_mmpose.checkpoints.model_zoo` such as
            ``'higherhrnet-w32'``. A config file is code and is run.
        checkpoint (str, optional): Weights of the model. Code in the file is
            not run. Defaults to None, those of the short name, which are
            fetched at the first use.
        device (str, optional): Device of the model. Defaults to None, a GPU
            if available.
        threshold (float): Minimum instance score, 0 to 1. Defaults to 0.2.
        max_people (int, optional): Maximum number of people per image, best
            scores first. Defaults to None, no limit.
        nms (float, optional): OKS from 0 to 1: of people that are more
            similar only the best is kept. Defaults to None, no pose NMS.
        batch_size (int): Maximum number of images per batch; images of a
            batch have equal size after resizing. Defaults to 1.
        flip (bool, optional): Whether to use the flip test. Defaults to None,
            as in the config.
        ahead (int, optional): Number of images that threads read and resize
            ahead; 0 for no threads. Up to ``2 * batch_size`` more wait for
            images of equal size. Defaults to None, one batch and one image.
        workers (int): Number of reading threads. Defaults to 2.
        ignore_orientation (bool, optional): Whether to ignore the EXIF
            orientation. Defaults to None, as ``BottomupLoadImage`` in the
            config: images are upright unless it has
            ``ignore_orientation=True``.
        fill_missing (bool, optional): Whether keypoints that grouping did not
            find are filled in; they are marked in ``Result.filled``. Defaults
            to None, as in the config.
        output_scales (bool, optional): Whether to estimate the standard
            deviation of each keypoint, ``Result.sigmas``; requires a SAHR or
            SWAHR model. Defaults to None, as in the config.
        cfg_options (dict, optional): Settings of the config to override.

    Raises:
        FileNotFoundError: If config or checkpoint does not exist.
        ValueError: If an argument is out of range, or the checkpoint does
            not fit the model or holds more than weights.
    """

    def __init__(
        self,
        config: Union[str, Config],
        checkpoint: Optional[str] = None,
        device: Optional[str] = None,
        *,
        threshold: float = 0.2,
        max_people: Optional[int] = None,
        nms: Optional[float] = None,
        batch_size: int = 1,
        flip: Optional[bool] = None,
        ahead: Optional[int] = None,
        workers: int = 2,
        ignore_orientation: Optional[bool] = None,
        fill_missing: Optional[bool] = None,
        output_scales: Optional[bool] = None,
        cfg_options: Optional[dict] = None,
    ) -> None:
        _check_arguments(
            threshold,
            nms,
            batch_size=batch_size,
            max_people=max_people,
            workers=workers,
        )
        cfg, path = _load_config(config, checkpoint, cfg_options or {})
        model = load_model(
            cfg, path, device or find_default_device(), output_scales
        )
        self.model = cast(Any, model)
        self.metainfo: Dict[str, Any] = self.model.dataset_meta
        _set_options(self.model, flip, fill_missing)
        with build_errors():
            self.pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
        self.selection: Dict[str, Any] = dict(
            sigmas=np.asarray(self.metainfo['sigmas']),
            threshold=threshold,
            nms=nms,
            max_people=max_people,
        )
        self.batch_size = batch_size
        self.ahead = batch_size + 1 if ahead is None else ahead
        self.workers = workers
        if ignore_orientation is None:
            ignore_orientation = ignores_orientation(cfg)
        self.ignore_orientation = ignore_orientation

    def __call__(
        self,
        inputs: Union[Inputs, Source],
        every: int = 1,
        on_error: Optional[OnError] = None,
    ) -> Iterator[Result]:
        """Iterate over the results of the inputs.

        Args:
            inputs: Inputs, see :func:`.input_sources.open_source`, or a
                :class:`Source`. Arrays must not be modified before their
                result is returned.
            every (int): Step between images or frames: 2 takes every second
                one. Ignored for a :class:`Source`. Defaults to 1.
            on_error (Callable, optional): Function of item and error, called
                for each item that cannot be read, also for image files of a
                list that do not exist; the iteration continues. Ignored for
                a missing single file or folder. Defaults to None, which
                raises the error.

        Returns:
            Iterator[Result]: Results in the order of the inputs.

        Raises:
            FileNotFoundError: If inputs do not exist; before the first image,
                unless ``inputs`` is an iterable.
            ValueError: If an input cannot be read; names the image.
        """
        if not isinstance(inputs, Source):
            inputs = open_source(inputs, every, on_error is not None)
        return self._iterate_results(inputs, on_error)

    def _iterate_results(
        self, source: Source, on_error: Optional[OnError]
    ) -> Iterator[Result]:
        """Read, batch, predict and restore the order of the inputs."""
        live = source.kind == 'camera'
        size, ahead = (1, 1) if live else (self.batch_size, self.ahead)
        stream = prefetch_map(source.items, self._load, ahead, self.workers)
        loaded = _handle_errors(stream, on_error)
        batches = batch_by_key(
            loaded, _LoadedItem.input_shapes, size, 2 * size
        )
        try:
            yield from restore_order(self._predict_batches(batches))
        finally:
            stream.close()

    def _load(self, item: Item) -> _LoadedItem:
        """Read and resize an image, in a worker thread."""
        try:
            image = item.load(self.ignore_orientation)
            info = dict(img=image, img_path=item.path, **self.metainfo)
            return _LoadedItem(item, image, self.pipeline(info))
        except Exception as error:  # handled by _handle_errors
            return _LoadedItem(item, error=_name_item(item, error))

    def _predict_batches(
        self, batches: Iterable[List[Tuple[int, _LoadedItem]]]
    ) -> Iterator[Tuple[int, Result]]:
        """Yield position and result of each item."""
        for batch in batches:
            positions, loaded = zip(*batch)
            yield from zip(positions, self._predict(loaded))

    @torch.no_grad()
    def _predict(self, batch: Sequence[_LoadedItem]) -> List[Result]:
        """Run the model on a batch."""
        inputs = pseudo_collate([loaded.sample for loaded in batch])
        predictions = self.model.test_step(inputs)
        return [
            self._make_result(loaded, prediction.pred_instances)
            for loaded, prediction in zip(batch, predictions)
        ]

    def _make_result(self, loaded: _LoadedItem, instances: Any) -> Result:
        """Select people and convert them to a result."""
        keypoints = np.asarray(instances.keypoints)
        keypoint_scores = np.asarray(instances.keypoint_scores)
        scores = np.asarray(instances.bbox_scores)
        kept = select_people(
            keypoints, keypoint_scores, scores, **self.selection
        )
        filled = instances.get('keypoints_filled')
        sigmas = instances.get('keypoint_sigmas')
        names = self.metainfo['keypoint_id2name']
        item = loaded.item
        return Result(
            index=item.index,
            name=item.name,
            path=item.path,
            image=loaded.image,
            keypoints=keypoints[kept],
            keypoint_scores=keypoint_scores[kept],
            scores=scores[kept],
            links=self.metainfo['skeleton_links'],
            filled=None if filled is None else np.asarray(filled)[kept],
            sigmas=None if sigmas is None else np.asarray(sigmas)[kept],
            keypoint_names=[names[k] for k in sorted(names)],
        )


def _name_item(item: Item, error: Exception) -> Exception:
    """Add the name of the item to the message of an error."""
    name = item.path or item.name
    if item.path is not None and name in str(error):
        return error
    kind: Type[Exception] = RuntimeError
    for expected in (ValueError, OSError):
        if isinstance(error, expected):
            kind = expected
    named = kind(f'image {name}: {error}')
    named.__cause__ = error
    return named


def _handle_errors(
    stream: Iterator[_LoadedItem], on_error: Optional[OnError]
) -> Iterator[_LoadedItem]:
    """Yield items without errors; raise errors or pass them to a function."""
    for loaded in stream:
        if loaded.error is None:
            yield loaded
        elif on_error is None:
            raise loaded.error
        else:
            on_error(loaded.item, loaded.error)

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""People in pictures, folders, videos and from cameras.

N people, K keypoints::

    from swahr_mmpose.apis.inferencer import Inferencer

    infer = Inferencer('CONFIG.py', 'CHECKPOINT.pth', threshold=0.3)
    for result in infer('photos/'):
        print(result.name, result.keypoints.shape, result.scores)

Files of the data set are not needed.
"""

from __future__ import annotations

import copy
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
    Union,
    cast,
)

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from torch import nn

from swahr_mmpose.evaluation.pose_nms import boxes_of, select_people
from swahr_mmpose.visualization.drawing import draw_poses

from .input_sources import Inputs, Item, Source, open_source
from .loading import load_model
from .prefetch import batches_of_equals, in_order, read_ahead

__all__ = ['Inferencer', 'Result']

OnError = Callable[[Item, Exception], None]


@dataclass(frozen=True, eq=False)
class Result:
    """The people of an image, best score first.

    Attributes:
        index: Place of the image in the inputs; a video's frame number.
        name: File name, or number.
        path: The file, if it was one.
        image: Its pixels, BGR uint8 (h, w, 3).
        keypoints: Pixels of the image, (N, K, 2).
        keypoint_scores: (N, K), 0 where a keypoint is missing.
        scores: Of the people, (N,).
        links: Pairs of keypoints that make the skeleton.
    """

    index: int
    name: str
    path: Optional[str]
    image: np.ndarray
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray
    links: List[Tuple[int, int]]

    @property
    def boxes(self) -> np.ndarray:
        """Around the keypoints, ``x1, y1, x2, y2``, shape (N, 4)."""
        return boxes_of(self.keypoints, self.keypoint_scores)

    def drawn(self, threshold: float = 0.1) -> np.ndarray:
        """The image with skeletons, BGR uint8 (h, w, 3).

        Args:
            threshold (float): Keypoints that score more are drawn.
        """
        drawn = draw_poses(
            self.image[..., ::-1],
            self.keypoints,
            self.keypoint_scores,
            self.links,
            threshold,
        )
        return np.ascontiguousarray(drawn[..., ::-1])


@dataclass(frozen=True, eq=False)
class _Loaded:
    """An item that was read and resized, or why it was not."""

    item: Item
    image: Any = None
    sample: Any = None
    error: Optional[Exception] = None

    def size(self) -> Hashable:
        """What must be equal in a batch: the sizes of the inputs."""
        inputs = self.sample['inputs']
        levels = inputs if isinstance(inputs, list) else [inputs]
        return tuple(tuple(level.shape) for level in levels)


def _check_numbers(nms: Optional[float], **counts: Optional[int]) -> None:
    for name, number in counts.items():
        if number is not None and number < 1:
            raise ValueError(f'{name} must be 1 or more, got {number}')
    if nms is not None and not 0 <= nms <= 1:
        raise ValueError(f'nms is a similarity from 0 to 1, got {nms}')


def _config(config: Union[str, Config], options: dict) -> Config:
    """A config of its own, with some settings changed."""
    if isinstance(config, Config):
        cfg = copy.deepcopy(config)
    else:
        cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    return cfg


class Inferencer:
    """A model and how to use it.

    Args:
        config (str | Config): That of the training; a config is code.
        checkpoint (str): Weights of that model; reading them runs nothing.
        device (str, optional): Where to compute; by default a GPU if there
            is one.
        threshold (float): People that score less are left out.
        max_people (int, optional): At most so many in an image, the best.
        nms (float, optional): People whose similarity (OKS) is larger are
            one; ``None`` for no such check.
        batch_size (int): Images in the network at a time; only images of
            equal size after resizing go together.
        flip (bool, optional): Whether to look at the mirrored image as well;
            by default as the config says.
        ahead (int, optional): Images that are read and resized before their
            turn, by threads. Defaults to one batch and one image; 0 for no
            threads.  Up to twice ``batch_size`` more wait for others of
            their size.
        workers (int): Threads that read.
        ignore_orientation (bool): Leave pictures as they are stored, as
            COCO's annotations do, not upright as EXIF data say.
        cfg_options (dict, optional): Settings to change in the config.
    """

    def __init__(
        self,
        config: Union[str, Config],
        checkpoint: str,
        device: Optional[str] = None,
        *,
        threshold: float = 0.2,
        max_people: Optional[int] = None,
        nms: Optional[float] = None,
        batch_size: int = 1,
        flip: Optional[bool] = None,
        ahead: Optional[int] = None,
        workers: int = 2,
        ignore_orientation: bool = False,
        cfg_options: Optional[dict] = None,
    ) -> None:
        _check_numbers(
            nms, batch_size=batch_size, max_people=max_people, workers=workers
        )
        cfg = _config(config, cfg_options or {})
        model: nn.Module = load_model(cfg, checkpoint, device or get_device())
        self.model = cast(Any, model)
        self.metainfo: Dict[str, Any] = self.model.dataset_meta
        if flip is not None:
            self.model.test_cfg['flip_test'] = flip
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
        self.ignore_orientation = ignore_orientation

    def __call__(
        self,
        inputs: Union[Inputs, Source],
        every: int = 1,
        on_error: Optional[OnError] = None,
    ) -> Iterator[Result]:
        """Go through the inputs; results come as they are made.

        Args:
            inputs: See :func:`.input_sources.open_source`.  Arrays
                must not change before their result is there.
            every (int): Take one image or frame of so many.
            on_error (Callable, optional): Is called with an item that cannot
                be read, and the error, and the rest goes on; by default the
                error is raised.

        Returns:
            Iterator[Result]: In the order of the inputs.
        """
        if not isinstance(inputs, Source):
            inputs = open_source(inputs, every)
        return self._results(inputs, on_error)

    def _results(
        self, source: Source, on_error: Optional[OnError]
    ) -> Iterator[Result]:
        live = source.kind == 'camera'
        size, ahead = (1, 1) if live else (self.batch_size, self.ahead)
        stream = read_ahead(source.items, self._load, ahead, self.workers)
        batches = batches_of_equals(
            _readable(stream, on_error), _Loaded.size, size, 2 * size
        )
        try:
            yield from in_order(self._numbered(batches))
        finally:
            stream.close()

    def _numbered(
        self, batches: Iterable[List[Tuple[int, _Loaded]]]
    ) -> Iterator[Tuple[int, Result]]:
        for batch in batches:
            positions, loaded = zip(*batch)
            yield from zip(positions, self._predict(loaded))

    def _load(self, item: Item) -> _Loaded:
        """Read and resize; runs in a thread of its own."""
        try:
            image = item.load(self.ignore_orientation)
            info = dict(img=image, img_path=item.path, **self.metainfo)
            return _Loaded(item, image, self.pipeline(info))
        except Exception as error:  # raised, or told, in its turn
            return _Loaded(item, error=_naming(item, error))

    @torch.no_grad()
    def _predict(self, batch: Sequence[_Loaded]) -> List[Result]:
        samples = pseudo_collate([loaded.sample for loaded in batch])
        found = self.model.test_step(samples)
        return [
            self._result(loaded, sample.pred_instances)
            for loaded, sample in zip(batch, found)
        ]

    def _result(self, loaded: _Loaded, people: Any) -> Result:
        keypoints = np.asarray(people.keypoints)
        keypoint_scores = np.asarray(people.keypoint_scores)
        scores = np.asarray(people.bbox_scores)
        kept = select_people(
            keypoints, keypoint_scores, scores, **self.selection
        )
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
        )


def _naming(item: Item, error: Exception) -> Exception:
    """The error, saying which item it is about."""
    name = item.path or item.name
    if item.path is not None and name in str(error):
        return error
    kind = ValueError if isinstance(error, ValueError) else RuntimeError
    named = kind(f'image {name}: {error}')
    named.__cause__ = error
    return named


def _readable(
    stream: Iterator[_Loaded], on_error: Optional[OnError]
) -> Iterator[_Loaded]:
    for loaded in stream:
        if loaded.error is None:
            yield loaded
        elif on_error is None:
            raise loaded.error
        else:
            on_error(loaded.item, loaded.error)

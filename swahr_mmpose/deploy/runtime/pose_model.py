# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Inference with an exported model, from images to people.

B images of h x w pixels, N people, K keypoints, L tag dimensions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import onnxruntime

from .decode import decode
from .fusion import average_views, fuse
from .metadata import Settings, read_settings
from .preprocess import (
    Resized,
    fitted_geometry,
    normalize,
    resize_image,
    resized_geometry,
)
from .scales import compute_sigmas
from .validation import (
    check_input_size,
    check_maps,
    check_session,
    parse_score_threshold,
)

__all__ = ['PoseModel', 'Poses']

# Bound of the aspect ratio: the short side of an image is enlarged.
_LARGEST_RATIO = 20
_PREFERRED_PROVIDERS = ('CUDAExecutionProvider', 'CPUExecutionProvider')


@dataclass(frozen=True, eq=False)
class Poses:
    """People of one image.

    ``keypoints, keypoint_scores, scores = poses`` unpacks the first three.

    Attributes:
        keypoints: ``(x, y)`` in image pixels, float32, shape (N, K, 2).
        keypoint_scores: Keypoint scores, float32, shape (N, K); 0 where a
            keypoint is missing.
        scores: Instance scores, float32, shape (N,).
        filled: Keypoints that were filled in after grouping: not a peak of
            their heatmap, and maybe far from the person; bool, shape (N, K).
        sigmas: Standard deviations of the keypoints in image pixels, float32,
            shape (N, K), NaN where a keypoint is missing; None for a model
            that was exported without ``--output-scales``.
    """

    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray
    filled: Any = None
    sigmas: Optional[np.ndarray] = None

    def __post_init__(self) -> None:
        """Replace ``filled=None``, no keypoint."""
        if self.filled is None:
            none = np.zeros(self.keypoint_scores.shape, bool)
            object.__setattr__(self, 'filled', none)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Iterate over keypoints, keypoint scores and scores."""
        return iter((self.keypoints, self.keypoint_scores, self.scores))

    def __len__(self) -> int:
        """Count the people."""
        return len(self.scores)

    @property
    def boxes(self) -> np.ndarray:
        """Boxes of the keypoints, ``x, y, width, height``, (N, 4)."""
        found = (self.keypoint_scores > 0)[..., None]
        low = np.where(found, self.keypoints, np.inf)
        high = np.where(found, self.keypoints, -np.inf)
        corner = low.min(axis=1, initial=np.inf)
        extent = high.max(axis=1, initial=-np.inf) - corner
        boxes = np.concatenate([corner, extent], axis=1)
        return np.where(found.any(axis=1), boxes, 0.0)

    def as_dicts(
        self, names: Sequence[str], score_thr: float = 0.0
    ) -> List[Dict[str, Any]]:
        """Convert people to dictionaries that can be written as JSON.

        Args:
            names (Sequence[str]): K keypoint names.
            score_thr (float): Score above which people are converted, 0 to
                1. Defaults to 0.

        Returns:
            list[dict]: ``score``; ``keypoints``, a dictionary of
            ``[x, y, score]`` by name without missing keypoints; ``bbox``
            (``[x, y, width, height]``); ``filled``, the names of keypoints
            that were filled in; and, if estimated, ``sigmas``, standard
            deviations by name.

        Raises:
            ValueError: If ``score_thr`` is out of range.
        """
        minimum = parse_score_threshold('score_thr', score_thr)
        chosen = np.flatnonzero(self.scores > minimum)
        return [self._describe_person(n, names) for n in chosen]

    def _describe_person(self, n: int, names: Sequence[str]) -> Dict[str, Any]:
        """Convert one person to a dictionary, see :meth:`as_dicts`."""
        found = np.flatnonzero(self.keypoint_scores[n] > 0)
        numbers = np.column_stack([self.keypoints[n], self.keypoint_scores[n]])
        person: Dict[str, Any] = dict(
            score=round(float(self.scores[n]), 3),
            keypoints={names[k]: _round(numbers[k]) for k in found},
            bbox=_round(self.boxes[n]),
            filled=[names[k] for k in np.flatnonzero(self.filled[n])],
        )
        if self.sigmas is not None:
            person['sigmas'] = {
                names[k]: round(float(self.sigmas[n, k]), 5)
                for k in found
                if np.isfinite(self.sigmas[n, k])
            }
        return person


def _round(numbers: np.ndarray) -> List[float]:
    """Round numbers to 1e-3."""
    return [round(float(number), 3) for number in numbers]


class PoseModel:
    """A model that was exported with ``tools/deployment/export_onnx.py``.

    Args:
        path (str): ONNX file.
        providers (Sequence[str], optional): Execution providers of ONNX
            Runtime in order of preference. Defaults to None: CUDA if
            available, then the CPU.
        threads (int, optional): Number of CPU threads of the network.
            Defaults to None, the choice of ONNX Runtime.
        flip_test (bool, optional): Whether to use the flip test. Only a model
            exported with ``--fusion outside`` can change it. Defaults to
            None, as stored in the file.
        fill_missing (bool, optional): Whether keypoints that grouping did not
            find are filled in. Defaults to None, as stored in the file.

    Attributes:
        settings (Settings): Settings of the file.
        size (tuple, optional): Fixed size ``(w, h)`` of the network input in
            pixels, with one image per batch; None for any size.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not an ONNX model, has no valid settings,
            or its graph does not fit them or does not allow to change the
            flip test.
    """

    def __init__(
        self,
        path: Union[str, os.PathLike],
        providers: Optional[Sequence[str]] = None,
        threads: Optional[int] = None,
        flip_test: Optional[bool] = None,
        fill_missing: Optional[bool] = None,
    ) -> None:
        path = os.fspath(path)
        if not os.path.isfile(path):
            raise FileNotFoundError(f'model file {path} does not exist')
        self.session = _load_session(path, providers, threads)
        metadata = self.session.get_modelmeta().custom_metadata_map
        settings = read_settings(metadata, path)
        check_session(self.session, settings, path)
        if fill_missing is not None:
            codec = settings.codec._replace(fill_missing=fill_missing)
            settings = settings._replace(codec=codec)
        self.settings: Settings = _set_flip_test(settings, flip_test, path)
        inputs = self.session.get_inputs()[0]
        self._input = inputs.name
        height, width = inputs.shape[2:]
        self.size: Optional[Tuple[int, int]] = None
        if isinstance(height, int) and isinstance(width, int):
            self.size = (width, height)

    def __call__(self, image: np.ndarray, channels: str = 'bgr') -> Poses:
        """Detect people in one image.

        Args:
            image (np.ndarray): uint8, shape (h, w, 3).
            channels (str): Channel order, ``'bgr'`` (OpenCV) or ``'rgb'``
                (Pillow). Defaults to ``'bgr'``.

        Returns:
            Poses: People, in the order of grouping.

        Raises:
            ValueError: If the image has another type or shape, or one side is
                more than 20 times the other.
        """
        return self.batch([image], channels)[0]

    def batch(
        self, images: Sequence[np.ndarray], channels: str = 'bgr'
    ) -> List[Poses]:
        """Detect people in images of equal size, in one batch.

        Args:
            images (Sequence[np.ndarray]): Images, uint8 (h, w, 3) each, or
                one array (B, h, w, 3).
            channels (str): Channel order, ``'bgr'`` (OpenCV) or ``'rgb'``
                (Pillow). Defaults to ``'bgr'``.

        Returns:
            list[Poses]: People of each image.

        Raises:
            ValueError: If an image has another type or shape than described
                or than the others, or one side is more than 20 times the
                other.
        """
        _check_images(images, channels)
        if len(images) == 0:
            return []
        inputs, resized = self.preprocess(images, channels)
        return [
            self._decode(maps, resized) for maps in zip(*self.maps(inputs))
        ]

    def preprocess(
        self, images: Sequence[np.ndarray], channels: str = 'bgr'
    ) -> Tuple[np.ndarray, Resized]:
        """Resize and normalize images.

        Args:
            images (Sequence[np.ndarray]): Images of equal size, uint8
                (h, w, 3) each.
            channels (str): Channel order, ``'bgr'`` (OpenCV) or ``'rgb'``
                (Pillow). Defaults to ``'bgr'``.

        Returns:
            tuple[np.ndarray, Resized]: Network input, float32, shape
            (B, 3, H, W), and the geometry of the resizing.
        """
        s = self.settings
        height, width = images[0].shape[:2]
        resized = resized_geometry(
            (width, height), s.input_size, s.size_factor, s.unbiased
        )
        if self.size not in (None, resized.size):
            resized = fitted_geometry((width, height), self.size, s.unbiased)
        check_input_size(resized.size)
        step = 1 if channels == s.channel_order else -1
        inputs = [
            normalize(
                resize_image(image, resized, s.unbiased)[..., ::step],
                s.mean,
                s.std,
            )
            for image in images
        ]
        return np.stack(inputs), resized

    def maps(self, inputs: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Run the network, with flip test and fusion of levels.

        Args:
            inputs (np.ndarray): Network input, float32, shape (B, 3, H, W).

        Returns:
            tuple[np.ndarray, ...]: Heatmaps (B, K, H / stride, W / stride)
            and tags (B, L*K, H/4, W/4); with ``settings.output_scales`` also
            the scale maps of the finest level (B, K, h, w).
        """
        run = self._run if self.settings.fused else self._run_and_fuse
        outputs = tuple(run(inputs))
        check_maps(outputs, inputs.shape, self.settings)
        return outputs

    def _run_and_fuse(self, inputs: np.ndarray) -> List[np.ndarray]:
        """Run a graph of one view; compute flip test and fusion."""
        s, size = self.settings, inputs.shape[2:]
        flip_indices = s.flip_indices if s.flip_test else None
        if s.flip_test:
            inputs = np.concatenate([inputs, inputs[..., ::-1]])
        outputs = self._run(inputs)
        scale_maps = [outputs.pop()] if s.output_scales else []
        if flip_indices is not None:
            scale_maps = [average_views(m, flip_indices) for m in scale_maps]
        *levels, tags = outputs
        cells = [n // s.stride for n in size]
        fused = fuse(levels, tags, cells, s.heatmap_levels, flip_indices)
        return [*fused, *scale_maps]

    def _run(self, inputs: np.ndarray) -> List[np.ndarray]:
        """Run the graph; a graph of fixed size takes one image at a time."""
        if self.size is None:
            return self.session.run(None, {self._input: inputs})
        outputs = [
            self.session.run(None, {self._input: np.ascontiguousarray(one)})
            for one in np.split(inputs, len(inputs))
        ]
        return [np.concatenate(maps) for maps in zip(*outputs)]

    def _decode(self, maps: Sequence[np.ndarray], resized: Resized) -> Poses:
        """Decode the maps of one image into people in image pixels."""
        heatmaps, tags, *scale_maps = maps
        people = decode(heatmaps, tags, self.settings)
        sigmas = None
        for alpha in scale_maps:
            sigmas = compute_sigmas(
                people.keypoints, people.keypoint_scores, alpha, self.settings
            )
            zoom = np.divide(resized.extent, resized.size).mean()
            sigmas = sigmas * np.float32(zoom)
        return Poses(
            resized.to_image(people.keypoints).astype(np.float32),
            people.keypoint_scores,
            people.scores,
            people.filled,
            sigmas,
        )


def _load_session(
    path: str, providers: Optional[Sequence[str]], threads: Optional[int]
) -> Any:
    """Load a file with ONNX Runtime.

    Raises:
        ValueError: If ONNX Runtime refuses the file.
    """
    if providers is None:
        available = onnxruntime.get_available_providers()
        providers = [p for p in _PREFERRED_PROVIDERS if p in available]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=list(providers)
        )
    except Exception as error:  # ONNX Runtime raises types of its own
        first = ascii(str(error).splitlines()[0] if str(error) else '')
        raise ValueError(
            f'{path} cannot be loaded by ONNX Runtime '
            f'({type(error).__name__}: {first[:200]}), expected a file .onnx '
            'of tools/deployment/export_onnx.py; export the model again with '
            'it, or update onnxruntime'
        ) from error


def _set_flip_test(
    settings: Settings, flip_test: Optional[bool], path: str
) -> Settings:
    """Change the flip test, if requested and not part of the graph."""
    if flip_test is None or flip_test == settings.flip_test:
        return settings
    if settings.fused:
        raise ValueError(
            f'{path}: got flip_test={flip_test}, but its graph includes '
            f'flip_test={settings.flip_test}; export it with --fusion outside '
            'to choose at run time'
        )
    return settings._replace(flip_test=flip_test)


def _check_images(images: Sequence[np.ndarray], channels: str) -> None:
    """Raise ValueError for images that cannot be run."""
    if channels not in ('bgr', 'rgb'):
        raise ValueError(f"channels must be 'bgr' or 'rgb', got {channels!r}")
    for image in images:
        if not (
            isinstance(image, np.ndarray)
            and image.dtype == np.uint8
            and image.ndim == 3
            and image.shape[2] == 3
            and image.size
        ):
            got = getattr(image, 'dtype', type(image).__name__)
            raise ValueError(
                'an image must be a uint8 array (height, width, 3), got '
                f'{got} of shape {np.shape(image)}'
            )
        if max(image.shape[:2]) > _LARGEST_RATIO * min(image.shape[:2]):
            raise ValueError(
                f'got an image of {image.shape[1]}x{image.shape[0]} pixels, '
                f'expected an aspect ratio of at most {_LARGEST_RATIO}, since '
                'the short side is enlarged; crop it or split it'
            )
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise ValueError(
            f'images of a batch must have one size, got {sorted(sizes)}; run '
            'them one by one, or grouped by size'
        )

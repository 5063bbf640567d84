# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The model: images in, people out.

B images of h x w pixels, N people, K keypoints.
"""

from __future__ import annotations

import os
from typing import (
    Any,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
import onnxruntime

from .decode import decode
from .fusion import fuse
from .metadata import Settings, read_settings
from .preprocess import Resized, normalized, resize_image, resized_geometry

__all__ = ['PoseModel', 'Poses']

# A longer image becomes enormous when its short side is enlarged.
_LARGEST_RATIO = 20
_PREFERRED = ('CUDAExecutionProvider', 'CPUExecutionProvider')


class Poses(NamedTuple):
    """The people of one image.

    ``keypoints`` float32 (N, K, 2), ``(x, y)`` in pixels of the image;
    ``keypoint_scores`` float32 (N, K), 0 where a keypoint was not found;
    ``scores`` float32 (N,).
    """

    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray

    def as_dicts(
        self, names: Sequence[str], min_score: float = 0.0
    ) -> List[Dict[str, Any]]:
        """The people that score more, ready to become JSON.

        Args:
            names (Sequence[str]): Of the K keypoints.
            min_score (float): What a person's score must exceed.

        Returns:
            list[dict]: ``score``, and ``keypoints``: by name ``[x, y,
            score]``, without those that were not found.
        """
        people = []
        for points, values, score in zip(*self):
            if score > min_score:
                found = {
                    name: [round(float(n), 3) for n in (*point, value)]
                    for name, point, value in zip(names, points, values)
                    if value > 0
                }
                people.append(
                    dict(score=round(float(score), 3), keypoints=found)
                )
        return people


class PoseModel:
    """A model that ``tools/deployment/export_onnx.py`` wrote.

    Args:
        path (str): The ONNX file.
        providers (Sequence[str], optional): Execution providers of ONNX
            Runtime in order of preference; ``None``: CUDA where this build
            has it, else the CPU.
        threads (int, optional): Of the network on a CPU; ``None``: as ONNX
            Runtime likes.
        flip_test (bool, optional): Whether the mirrored image counts as well;
            ``None``: as the file says. Only a model that was exported with
            ``--fusion outside`` leaves the choice.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file was not written by ``tools/deployment/export_onnx.py``,
            or fixes the flip test otherwise.
    """

    def __init__(
        self,
        path: Union[str, os.PathLike],
        providers: Optional[Sequence[str]] = None,
        threads: Optional[int] = None,
        flip_test: Optional[bool] = None,
    ) -> None:
        path = os.fspath(path)
        if not os.path.isfile(path):
            raise FileNotFoundError(f'there is no model file {path}')
        if providers is None:
            available = onnxruntime.get_available_providers()
            providers = [p for p in _PREFERRED if p in available]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        self.session = onnxruntime.InferenceSession(
            path, options, providers=list(providers)
        )
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.settings: Settings = read_settings(metadata, path)
        if flip_test not in (None, self.settings.flip_test):
            if self.settings.fused:
                raise ValueError(
                    f'{path}: its graph has flip_test='
                    f'{self.settings.flip_test} inside, asked for {flip_test};'
                    ' export it with --fusion outside to choose at run time'
                )
            self.settings = self.settings._replace(flip_test=flip_test)
        self._input = self.session.get_inputs()[0].name

    def __call__(self, image: np.ndarray, channels: str = 'bgr') -> Poses:
        """Find the people in one image.

        Args:
            image (np.ndarray): uint8 (h, w, 3).
            channels (str): Their order: ``'bgr'``, as OpenCV reads images, or
                ``'rgb'``, as Pillow does.
        """
        return self.batch([image], channels)[0]

    def batch(
        self, images: Sequence[np.ndarray], channels: str = 'bgr'
    ) -> List[Poses]:
        """Find the people in images of equal size, in one run of the network.

        Args:
            images (Sequence[np.ndarray]): uint8 (h, w, 3) each, or one array
                (B, h, w, 3).
            channels (str): As for one image.

        Returns:
            list[Poses]: Of each image.
        """
        _check(images, channels)
        if len(images) == 0:
            return []
        inputs, resized = self.preprocess(images, channels)
        heatmaps, tags = self.maps(inputs)
        return [
            self._poses(*maps_and_tags, resized)
            for maps_and_tags in zip(heatmaps, tags)
        ]

    def preprocess(
        self, images: Sequence[np.ndarray], channels: str = 'bgr'
    ) -> Tuple[np.ndarray, Resized]:
        """The network's input float32 (B, 3, H, W), and how it was resized."""
        s = self.settings
        height, width = images[0].shape[:2]
        resized = resized_geometry(
            (width, height), s.input_size, s.size_factor, s.unbiased
        )
        step = 1 if channels == s.channel_order else -1
        inputs = [
            normalized(
                resize_image(image, resized, s.unbiased)[..., ::step],
                s.mean,
                s.std,
            )
            for image in images
        ]
        return np.stack(inputs), resized

    def maps(self, inputs: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Run the network; levels and views are one afterwards.

        Args:
            inputs (np.ndarray): float32 (B, 3, H, W).

        Returns:
            tuple[np.ndarray, np.ndarray]: Heatmaps (B, K, H / stride,
            W / stride), and tags (B, L*K, H/4, W/4).
        """
        s = self.settings
        if s.fused:
            heatmaps, tags = self.session.run(None, {self._input: inputs})
            return heatmaps, tags
        if s.flip_test:
            inputs = np.concatenate([inputs, inputs[..., ::-1]])
        *levels, tags = self.session.run(None, {self._input: inputs})
        size = [n // s.stride for n in inputs.shape[2:]]
        flip_indices = s.flip_indices if s.flip_test else None
        return fuse(levels, tags, size, s.heatmap_levels, flip_indices)

    def _poses(
        self, heatmaps: np.ndarray, tags: np.ndarray, resized: Resized
    ) -> Poses:
        keypoints, keypoint_scores, scores = decode(
            heatmaps, tags, self.settings
        )
        pixels = resized.to_image(keypoints).astype(np.float32)
        return Poses(pixels, keypoint_scores, scores)


def _check(images: Sequence[np.ndarray], channels: str) -> None:
    if channels not in ('bgr', 'rgb'):
        raise ValueError(f"channels are 'bgr' or 'rgb', got {channels!r}")
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
                'an image is a uint8 array (height, width, 3), got '
                f'{got} of shape {np.shape(image)}'
            )
        if max(image.shape[:2]) > _LARGEST_RATIO * min(image.shape[:2]):
            raise ValueError(
                f'an image of {image.shape[1]} x {image.shape[0]} would '
                'become enormous when its short side is enlarged; one side '
                f'may be {_LARGEST_RATIO} times the other'
            )
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise ValueError(
            f'images of a batch have one size, got {sorted(sizes)}; run them '
            'one by one, or by size'
        )

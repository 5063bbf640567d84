# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Data loading on one core: our training pipeline and that of MMPose's DEKR.

Both read the same images and annotations in one process, image by image in
turn. The transfer from a worker to the main process is not included.
"""

import contextlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import mmcv
import numpy as np
import torch
from mmpose.registry import DATASETS

from swahr_mmpose.datasets.synthetic import make_synthetic_dataset

from .inputs import K
from .networks import load

# configs/body_2d_keypoint/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py
# of MMPose, the bottom-up pipeline with the same image size.
DEKR_CODEC = dict(
    type='SPR',
    input_size=(512, 512),
    heatmap_size=(128, 128),
    sigma=(4, 2),
    minimal_diagonal_length=32**0.5,
    generate_keypoint_heatmaps=True,
    decode_max_instances=30,
)
DEKR_PIPELINE = [
    dict(type='LoadImage'),
    dict(type='BottomupRandomAffine', input_size=(512, 512)),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='GenerateTarget', encoder=DEKR_CODEC),
    dict(type='BottomupGetHeatmapMask'),
    dict(type='PackPoseInputs'),
]
SUFFIXES = ('.jpg', '.jpeg', '.png')
MAX_IMAGES = 64
SYNTHETIC_IMAGES = 32


def rows_loader(args):
    """Measure images per second and the shares of the steps."""
    cfg = load('W32-512')
    with tempfile.TemporaryDirectory() as folder, one_core():
        source = find_source(args, folder)
        ours, theirs = (
            build_dataset(pipeline, *source)
            for pipeline in (cfg.train_pipeline, DEKR_PIPELINE)
        )
        passes = measure_passes(ours, theirs, args.repeats)
        number = min(len(ours), MAX_IMAGES)
    yield f'data loading, W32-512, {number} images', summarize(passes, number)


@contextlib.contextmanager
def one_core():
    """Use one thread within the context, as a data worker does."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


def find_source(args, folder):
    """Return annotation file and image folder: the user's, or synthetic."""
    if args.images is None:
        make_synthetic_dataset(
            folder,
            num_train=SYNTHETIC_IMAGES,
            num_val=1,
            image_size=(640, 480),
        )
        name = 'annotations/person_keypoints_train.json'
        return os.path.join(folder, name), os.path.join(folder, 'images/train')
    images = os.path.abspath(args.images)
    if args.ann_file is None:
        return annotate_images(images, folder), images
    return os.path.abspath(args.ann_file), images


def annotate_images(images, folder):
    """Write annotations of random people for a folder of images."""
    names = sorted(
        p.name for p in Path(images).iterdir() if p.suffix.lower() in SUFFIXES
    )
    if not names:
        raise SystemExit(
            f'error: no images in {images}, expected files that end with '
            f'{", ".join(SUFFIXES)}; check --images'
        )
    rng = np.random.default_rng(0)
    records, people = [], []
    for image_id, name in enumerate(names[:MAX_IMAGES], start=1):
        height, width = mmcv.imread(os.path.join(images, name)).shape[:2]
        records.append(
            dict(id=image_id, file_name=name, width=width, height=height)
        )
        for labelled in (True, True, True, image_id % 3 > 0):
            person = random_person(rng, width, height, labelled)
            people.append(dict(person, id=len(people) + 1, image_id=image_id))
    content = dict(
        images=records,
        annotations=people,
        categories=[dict(id=1, name='person')],
    )
    path = Path(folder, 'people.json')
    path.write_text(json.dumps(content))
    return str(path)


def random_person(rng, width, height, labelled):
    """Make a person in a random box; without labels it is masked."""
    size = rng.uniform(0.1, 0.5, 2) * (width, height)
    low = rng.uniform(0, 1, 2) * ((width, height) - size)
    keypoints = np.full((K, 3), 2.0)
    keypoints[:, :2] = low + rng.random((K, 2)) * size
    if not labelled:
        keypoints[:] = 0
    (x, y), (w, h) = low.tolist(), size.tolist()
    return dict(
        category_id=1,
        iscrowd=0,
        bbox=[x, y, w, h],
        area=w * h / 2,
        segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
        keypoints=keypoints.reshape(-1).tolist(),
        num_keypoints=K if labelled else 0,
    )


def build_dataset(pipeline, ann_file, images):
    """Build a COCO dataset; pycocotools' progress is not printed."""
    with contextlib.redirect_stdout(None):
        return DATASETS.build(
            dict(
                type='CocoDataset',
                data_mode='bottomup',
                ann_file=ann_file,
                data_prefix=dict(img=images),
                pipeline=pipeline,
            )
        )


def time_steps(dataset, index):
    """Load a sample and return the seconds of each step."""
    np.random.seed(index)
    started = time.perf_counter()
    results = dataset.get_data_info(index)
    results['dataset'] = dataset
    seconds = {'annotations': time.perf_counter() - started}
    for transform in dataset.pipeline.transforms:
        started = time.perf_counter()
        results = transform(results)
        elapsed = time.perf_counter() - started
        seconds[type(transform).__name__] = elapsed
    return seconds


def measure_passes(ours, theirs, repeats):
    """Measure both interleaved; a pass has the seconds of each step."""
    passes = []
    for _ in range(repeats + 1):
        totals = [{}, {}]
        for index in range(min(len(ours), MAX_IMAGES)):
            for dataset, total in zip((ours, theirs), totals):
                for step, seconds in time_steps(dataset, index).items():
                    total[step] = total.get(step, 0) + seconds
        passes.append(totals)
    return passes[1:]  # the first is a warm-up


def summarize(passes, number):
    """Compute images per second, the ratio and shares, as medians."""
    sums = [[sum(total.values()) for total in pair] for pair in passes]
    figures = {
        'images/s': number / statistics.median(s[0] for s in sums),
        'MMPose images/s': number / statistics.median(s[1] for s in sums),
        'ratio': statistics.median(s[1] / s[0] for s in sums),
    }
    for side, prefix in enumerate(('', 'MMPose ')):
        for step in passes[0][side]:
            share = statistics.median(
                pair[side][step] / total[side]
                for pair, total in zip(passes, sums)
            )
            figures[f'{prefix}{step}, %'] = 100 * share
    return figures


ROWS = dict(loader=rows_loader)

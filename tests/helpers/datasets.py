"""Synthetic samples, batches, annotation files, predictions and videos."""

import json

import numpy as np
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.datasets import CrowdPoseDataset  # noqa: F401  (its sigmas)
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.datasets.transforms import GenerateTarget

import swahr_mmpose  # noqa: F401  (registers everything)
from swahr_mmpose import (
    BottomupGetLossMask,
    BottomupPackInputs,
    BottomupRandomSquareAffine,
    CrowdPoseMetric,
)
from swahr_mmpose.apis.video import VideoWriter
from swahr_mmpose.datasets.synthetic import make_synthetic_dataset

META = parse_pose_metainfo(dict(CrowdPoseDataset.METAINFO))


def make_set(folder, crowd_indices, seed=0):
    """Write an annotation file; some people have no visible keypoint."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for image_id, index in enumerate(crowd_indices, start=100):
        images.append(
            dict(
                id=image_id,
                file_name=f'{image_id}.jpg',
                width=640,
                height=480,
                crowdIndex=index,
            )
        )
        for _ in range(rng.integers(0, 5)):
            low = rng.uniform(0, 300, 2)
            size = rng.uniform(30, 180, 2)
            keypoints = np.zeros((14, 3))
            keypoints[:, :2] = low + size * rng.random((14, 2))
            keypoints[:, 2] = rng.integers(0, 3, 14)
            if rng.random() < 0.15:  # fully occluded: ignored
                keypoints[:, 2] = 1
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=1,
                    iscrowd=0,
                    bbox=[*low, *size],
                    keypoints=keypoints.reshape(-1).tolist(),
                    num_keypoints=int((keypoints[:, 2] == 2).sum()),
                )
            )
    content = dict(
        images=images,
        annotations=annotations,
        categories=[dict(id=1, name='person')],
    )
    path = folder / 'crowdpose.json'
    path.write_text(json.dumps(content))
    return path, content


def predict(content, seed=1, noise=6.0):
    """Predict noisy ground truth with false negatives and positives."""
    rng = np.random.default_rng(seed)
    samples = []
    for image in content['images']:
        people = [
            np.array(a['keypoints']).reshape(14, 3)[:, :2]
            for a in content['annotations']
            if a['image_id'] == image['id'] and rng.random() < 0.85
        ]
        people += [rng.uniform(0, 400, (14, 2))] * (rng.random() < 0.3)
        keypoints = np.array(people).reshape(-1, 14, 2)
        keypoints = keypoints + rng.normal(0, noise, keypoints.shape)
        samples.append(
            dict(
                id=[],
                img_id=image['id'],
                gt_instances={},
                pred_instances=dict(
                    keypoints=keypoints,
                    keypoint_scores=rng.random(keypoints.shape[:2]),
                    bbox_scores=rng.random(len(keypoints)),
                ),
            )
        )
    return samples


def evaluate(path, samples):
    metric = CrowdPoseMetric(str(path))
    metric.dataset_meta = META
    metric.process([], samples)
    metrics = metric.evaluate(len(samples))
    return {k.split('/')[1]: v for k, v in metrics.items()}


FLIP = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]


def sample(size=(60, 40), people=2, seed=0):
    rng = np.random.default_rng(seed)
    w, h = size
    return dict(
        img=rng.integers(0, 255, (h, w, 3), dtype=np.uint8),
        ori_shape=(h, w),
        img_shape=(h, w),
        keypoints=rng.uniform(0, min(size), (people, 17, 2)),
        keypoints_visible=np.ones((people, 17), np.float32),
        bbox=np.tile(np.array([[2, 3, 20, 30]], np.float32), (people, 1)),
        flip_indices=FLIP,
        raw_ann_info=[],
    )


CODEC = dict(
    type='ScaleAwareAssociativeEmbedding',
    input_size=(64, 64),
    heatmap_sizes=[(16, 16), (32, 32)],
)


def encode(results):
    """Run the pipeline steps that make targets and loss masks."""
    return BottomupGetLossMask()(GenerateTarget(encoder=CODEC)(results))


def batch(people):
    """Make a 64 px training sample for each number of people."""
    np.random.seed(0)
    samples = []
    for seed, number in enumerate(people):
        results = sample((80, 64), number, seed)
        results = BottomupRandomSquareAffine((64, 64))(results)
        samples.append(BottomupPackInputs()(encode(results)))
    return samples


def frame(value, size=(64, 48)):
    return np.full((size[1], size[0], 3), value, np.uint8)


def write(path, count=7, size=(64, 48), fps=12.5):
    with VideoWriter(str(path), fps) as video:
        for n in range(count):
            video.write(frame(30 * n % 256, size))
    return str(path)


# Some of these sizes are equal after resizing.
IMAGE_SIZES = [
    (64, 64),
    (80, 60),
    (90, 60),
    (64, 64),
    (64, 64),
    (81, 60),
    (60, 90),
]


def loader(folder, **kwargs):
    init_default_scope('mmpose')
    return Runner.build_dataloader(
        dict(
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(
                type='CocoDataset',
                data_root=str(folder),
                data_mode='bottomup',
                test_mode=True,
                ann_file='people.json',
                data_prefix=dict(img=''),
                pipeline=[
                    dict(type='BottomupLoadImage'),
                    dict(type='BottomupPyramidResize', input_size=(64, 64)),
                    dict(type='BottomupPackInputs'),
                ],
            ),
            **kwargs,
        )
    )


def make_beetles(folder, num_train, num_val):
    """Make beetles of 160 x 128 px, annotated with keypoints only."""
    make_synthetic_dataset(
        folder,
        num_train=num_train,
        num_val=num_val,
        image_size=(160, 128),
        max_height=120,
        kind='beetles',
        bare=True,
    )
    return folder

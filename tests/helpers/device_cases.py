"""Models, batches and maps for runs on two devices."""

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.registry import KEYPOINT_CODECS, MODELS

from helpers.codecs import COCO_ORDER
from helpers.datasets import sample
from helpers.models import FLIPS, small_hrnet

CODEC = dict(
    type='ScaleAwareAssociativeEmbedding',
    input_size=(64, 64),
    heatmap_sizes=[(16, 16), (32, 32)],
    decode_keypoint_order=COCO_ORDER,
)
_PLAIN = dict(type='SWAHRLoss', scale_adaptive=False, weight_adaptive=False)
_WAHR = dict(type='SWAHRLoss', scale_adaptive=False)
_SAHR = dict(type='SWAHRLoss', weight_adaptive=False)
_EXACT = dict(type='SWAHRLoss', expansion='exact')

# Settings of the codec and of the head for each method.
METHODS = dict(
    swahr=({}, {}),
    swahr_exact=({}, dict(keypoint_loss=_EXACT)),
    sahr=({}, dict(keypoint_loss=_SAHR)),
    wahr=({}, dict(scale_maps=False, keypoint_loss=_WAHR)),
    baseline=({}, dict(scale_maps=False, keypoint_loss=_PLAIN)),
    shr=(
        dict(person_scale=dict(base_width=32)),
        dict(scale_maps=False, keypoint_loss=_PLAIN),
    ),
    unbiased=(dict(unbiased=True), {}),
    shared_tags=({}, dict(tag_per_keypoint=False)),
    two_tags=({}, dict(tag_dim=2)),
)


def build_model(method='swahr', **test_cfg):
    """Build a small estimator whose heatmaps have peaks."""
    init_default_scope('mmpose')
    codec, head = METHODS[method]
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='BottomupPyramidPoseEstimator',
            data_preprocessor=dict(
                type='BottomupPyramidDataPreprocessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True,
            ),
            backbone=dict(type='HRNet', extra=small_hrnet().extra),
            head=dict(
                type='HigherHRNetHead',
                in_channels=8,
                num_keypoints=17,
                num_basic_blocks=1,
                decoder=dict(CODEC, **codec),
                **head,
            ),
            test_cfg=test_cfg,
        )
    )
    for layer in model.head.final_layers:
        torch.nn.init.normal_(layer.weight, std=0.5)
    return model


def training_batch(people, method='swahr', sparse=True):
    """Collate a training sample of 64 px for each number of people."""
    np.random.seed(0)
    codec = dict(CODEC, **METHODS[method][0])
    pipeline = Compose(
        [
            dict(type='BottomupRandomSquareAffine', input_size=(64, 64)),
            dict(type='GenerateTarget', encoder=codec),
            dict(type='BottomupGetLossMask'),
            dict(type='BottomupPackInputs', sparse=sparse),
        ]
    )
    return pseudo_collate(
        [
            pipeline(dict(sample((80, 64), n, seed), img_path='x'))
            for seed, n in enumerate(people)
        ]
    )


def image_batch(images=1, scales=(1.0,)):
    """Collate images of equal size, as a test data loader does."""
    pipeline = Compose(
        [
            dict(
                type='BottomupPyramidResize',
                input_size=(64, 64),
                scales=scales,
            ),
            dict(type='BottomupPackInputs'),
        ]
    )
    rng = np.random.default_rng(0)
    return pseudo_collate(
        [
            pipeline(
                dict(
                    img=rng.integers(0, 255, (60, 90, 3), dtype=np.uint8),
                    img_path='x',
                    ori_shape=(60, 90),
                    flip_indices=FLIPS[17],
                )
            )
            for _ in range(images)
        ]
    )


def decoding_codec(size, **options):
    """Make the codec for maps of a size (h, w)."""
    height, width = size
    sizes = [(width // 4, height // 4), (width // 2, height // 2)]
    settings = dict(CODEC, input_size=(width, height), heatmap_sizes=sizes)
    return KEYPOINT_CODECS.build(dict(settings, **options))

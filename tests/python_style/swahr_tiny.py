# The SWAHR config of configs/synthetic in MMEngine's Python style.
# ruff: noqa: F403, F405
from mmengine.config import read_base
from mmpose.datasets.transforms import GenerateTarget
from mmpose.models.backbones import HRNet

from swahr_mmpose import (
    BottomupGetLossMask,
    BottomupLoadImage,
    BottomupPackInputs,
    BottomupPyramidDataPreprocessor,
    BottomupPyramidPoseEstimator,
    BottomupPyramidResize,
    BottomupRandomSquareAffine,
    HigherHRNetHead,
    PullPushLoss,
    ScaleAwareAssociativeEmbedding,
    SWAHRLoss,
)

with read_base():
    from .runtime import *

codec = dict(
    type=ScaleAwareAssociativeEmbedding,
    input_size=(256, 256),
    heatmap_sizes=[(64, 64), (128, 128)],
    sigma=2.0,
    sparse_heatmaps=True,
    unbiased=True,
    decode_keypoint_thr=0.3,
)
decoder = dict(
    codec,
    decode_keypoint_order=[
        *(0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
    ],
)
extra = dict(
    stage1=dict(
        num_modules=1,
        num_branches=1,
        block='BOTTLENECK',
        num_blocks=(1,),
        num_channels=(16,),
    ),
    stage2=dict(
        num_modules=1,
        num_branches=2,
        block='BASIC',
        num_blocks=(1, 1),
        num_channels=(48, 48),
    ),
    stage3=dict(
        num_modules=1,
        num_branches=3,
        block='BASIC',
        num_blocks=(1, 1, 1),
        num_channels=(48, 48, 64),
    ),
    stage4=dict(
        num_modules=1,
        num_branches=4,
        block='BASIC',
        num_blocks=(1, 1, 1, 1),
        num_channels=(48, 48, 64, 64),
    ),
)
model = dict(
    type=BottomupPyramidPoseEstimator,
    data_preprocessor=dict(
        type=BottomupPyramidDataPreprocessor,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        channels_last=True,
    ),
    backbone=dict(
        type=HRNet,
        in_channels=3,
        extra=extra,
        init_cfg=[
            dict(type='Kaiming', layer='Conv2d'),
            dict(type='Constant', val=1, layer='BatchNorm2d'),
        ],
    ),
    head=dict(
        type=HigherHRNetHead,
        in_channels=48,
        deconv_out_channels=32,
        num_keypoints=17,
        num_basic_blocks=0,
        scale_maps=True,
        keypoint_loss=dict(
            type=SWAHRLoss, scale_adaptive=True, weight_adaptive=True
        ),
        tag_loss=dict(type=PullPushLoss),
        decoder=decoder,
    ),
    test_cfg=dict(flip_test=False),
)
train_dataloader.update(
    dataset=dict(
        pipeline=[
            dict(type=BottomupLoadImage),
            dict(
                type=BottomupRandomSquareAffine,
                input_size=(256, 256),
                rotation=10,
                scale=(0.75, 1.25),
                flip_prob=0.0,
            ),
            dict(type=GenerateTarget, encoder=codec),
            dict(type=BottomupGetLossMask, unbiased=True),
            dict(type=BottomupPackInputs),
        ]
    )
)
val_dataloader.update(
    dataset=dict(
        pipeline=[
            dict(type=BottomupLoadImage),
            dict(
                type=BottomupPyramidResize,
                input_size=(256, 256),
                unbiased=True,
            ),
            dict(type=BottomupPackInputs),
        ]
    )
)
test_dataloader = val_dataloader
randomness = dict(seed=0)
auto_scale_lr = dict(base_batch_size=4)

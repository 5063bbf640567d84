"""Small models and official weights."""

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.datasets import CrowdPoseDataset  # noqa: F401  (its sigmas)
from mmpose.models.backbones import HRNet
from mmpose.registry import MODELS
from torch import nn

import swahr_mmpose  # noqa: F401  (registers everything)
from helpers.codecs import COCO_ORDER
from swahr_mmpose import HigherHRNetHead
from swahr_mmpose.checkpoints.layouts import from_official


def small_hrnet(stage3_modules=1):
    """Make the backbone of the small reference models."""
    channels = (8, 16, 32, 64)

    def stage(branches, modules=1):
        return dict(
            num_modules=modules,
            num_branches=branches,
            block='BASIC',
            num_blocks=(1,) * branches,
            num_channels=channels[:branches],
        )

    return HRNet(
        dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block='BOTTLENECK',
                num_blocks=(4,),
                num_channels=(64,),
            ),
            stage2=stage(2),
            stage3=stage(3, stage3_modules),
            stage4=stage(4),
        )
    )


def make_head(**kwargs):
    head = HigherHRNetHead(
        **dict(
            dict(in_channels=8, num_keypoints=17, num_basic_blocks=1), **kwargs
        )
    )
    head.init_weights()
    return head


FLIPS = {
    17: [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15],
    14: [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13],
}


def make_model(num_keypoints=17, flip_test=True, modules=1):
    init_default_scope('mmpose')
    order = COCO_ORDER[:num_keypoints]
    model = MODELS.build(
        dict(
            type='BottomupPyramidPoseEstimator',
            data_preprocessor=dict(
                type='BottomupPyramidDataPreprocessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True,
            ),
            backbone=dict(type='HRNet', extra=small_hrnet(modules).extra),
            head=dict(
                type='HigherHRNetHead',
                in_channels=8,
                num_keypoints=num_keypoints,
                num_basic_blocks=1,
                decoder=dict(
                    type='ScaleAwareAssociativeEmbedding',
                    input_size=(64, 64),
                    heatmap_sizes=[(16, 16), (32, 32)],
                    decode_keypoint_order=order,
                ),
            ),
            test_cfg=dict(flip_test=flip_test),
        )
    )
    model.eval()
    return model


def make_batch(image, side, scales=(1.0,), num_keypoints=17, batch=1):
    pipeline = Compose(
        [
            dict(
                type='BottomupPyramidResize',
                input_size=(side, side),
                scales=scales,
            ),
            dict(type='BottomupPackInputs'),
        ]
    )
    samples = [
        pipeline(
            dict(
                img=image,
                img_path='x',
                ori_shape=image.shape[:2],
                flip_indices=FLIPS[num_keypoints],
            )
        )
        for _ in range(batch)
    ]
    return pseudo_collate(samples)


def load_official(model, shared, name, head_weights):
    z = np.load(shared / 'golden/model.npz')
    prefix = f'{name}/state_dict/'
    state = {k[len(prefix) :]: z[k] for k in z if k.startswith(prefix)}
    state.update(head_weights)
    state = {k: torch.from_numpy(np.asarray(v)) for k, v in state.items()}
    model.load_state_dict(from_official(state))


def training_model():
    """Make a model that is equal in each process; BatchNorm is in eval."""
    torch.manual_seed(0)
    model = make_model()
    model.init_weights()
    for parameter in model.head.parameters():
        nn.init.normal_(parameter, std=0.05)
    return model.eval()


def without_scale(state):
    return {k: v for k, v in state.items() if 'scale_layers' not in k}


def to_0x(state):
    return {
        k.replace('head.', 'keypoint_head.'): v
        for k, v in without_scale(from_official(state)).items()
    }

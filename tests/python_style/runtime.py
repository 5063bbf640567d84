# configs/_base_/default_runtime.py in MMEngine's Python style.
from mmengine.dataset import DefaultSampler
from mmengine.hooks import (
    DistSamplerSeedHook,
    IterTimerHook,
    LoggerHook,
    ParamSchedulerHook,
    SyncBuffersHook,
)
from mmengine.optim import LinearLR
from mmengine.runner import LogProcessor
from mmengine.visualization import LocalVisBackend
from mmpose.datasets import CocoDataset
from mmpose.engine.hooks import PoseVisualizationHook
from mmpose.visualization import PoseLocalVisualizer
from torch.optim import Adam

from swahr_mmpose import (
    BottomupCocoMetric,
    CheckCheckpointHook,
    CheckLossHook,
    CheckPathsHook,
    SafeCheckpointHook,
    SeededSampler,
)

default_scope = None

default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=50),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=SafeCheckpointHook, interval=10, max_keep_ckpts=3),
    sampler_seed=dict(type=DistSamplerSeedHook),
    visualization=dict(type=PoseVisualizationHook, enable=False),
)
custom_hooks = [
    dict(type=SyncBuffersHook),
    dict(type=CheckCheckpointHook),
    dict(type=CheckPathsHook),
    dict(type=CheckLossHook, interval=50),
]
env_cfg = dict(
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
visualizer = dict(
    type=PoseLocalVisualizer,
    vis_backends=[dict(type=LocalVisBackend)],
    name='visualizer',
)
log_processor = dict(
    type=LogProcessor, window_size=50, by_epoch=True, num_digits=6
)
log_level = 'INFO'
load_from = None
resume = False

optim_wrapper = dict(optimizer=dict(type=Adam, lr=3e-3))
param_scheduler = [
    dict(
        type=LinearLR,
        start_factor=0.1,
        begin=0,
        end=1,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type=LinearLR,
        start_factor=1.0,
        end_factor=0.0,
        begin=1,
        end=15,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=15, val_interval=15)
val_cfg = dict()
test_cfg = dict()

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type=SeededSampler, shuffle=True),
    dataset=dict(
        type=CocoDataset,
        data_root='data/synthetic/',
        data_mode='bottomup',
        ann_file='annotations/person_keypoints_train.json',
        data_prefix=dict(img='images/train/'),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(
        type=CocoDataset,
        data_root='data/synthetic/',
        data_mode='bottomup',
        test_mode=True,
        ann_file='annotations/person_keypoints_val.json',
        data_prefix=dict(img='images/val/'),
    ),
)
val_evaluator = dict(
    type=BottomupCocoMetric,
    ann_file='data/synthetic/annotations/person_keypoints_val.json',
    score_mode='bbox',
    nms_mode='none',
)
test_evaluator = val_evaluator

# Settings shared by all experiments.
default_scope = 'mmpose'
custom_imports = dict(imports=['swahr_mmpose'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Published numbers are of the last epoch, not of the best one.
    checkpoint=dict(type='SafeCheckpointHook', interval=10, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='PoseVisualizationHook', enable=False),
)
custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(type='CheckCheckpointHook'),
    dict(type='CheckPathsHook'),
    # A loss that is NaN or infinite ends the run.
    dict(type='CheckLossHook', interval=50),
    # Targets, predictions and scale maps of two training samples.
    dict(type='BottomupVisualizationHook', interval=10, num_samples=2),
    # Training length, schedules, batch size and checkpoint must agree.
    dict(type='ScheduleHook'),
    # Metrics evaluate the tested images.
    dict(type='CheckMetricHook'),
]

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(
    type='PoseLocalVisualizer', vis_backends=vis_backends, name='visualizer'
)
log_processor = dict(
    type='LogProcessor', window_size=50, by_epoch=True, num_digits=6
)
log_level = 'INFO'
load_from = None
resume = False

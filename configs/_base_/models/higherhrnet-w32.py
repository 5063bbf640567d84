# HigherHRNet-W32 with scale branch; the inheriting config adds the decoder.
model = dict(
    type='BottomupPyramidPoseEstimator',
    data_preprocessor=dict(
        type='BottomupPyramidDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='HRNet',
        in_channels=3,
        extra=dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block='BOTTLENECK',
                num_blocks=(4,),
                num_channels=(64,),
            ),
            stage2=dict(
                num_modules=1,
                num_branches=2,
                block='BASIC',
                num_blocks=(4, 4),
                num_channels=(32, 64),
            ),
            stage3=dict(
                num_modules=4,
                num_branches=3,
                block='BASIC',
                num_blocks=(4, 4, 4),
                num_channels=(32, 64, 128),
            ),
            stage4=dict(
                num_modules=3,
                num_branches=4,
                block='BASIC',
                num_blocks=(4, 4, 4, 4),
                num_channels=(32, 64, 128, 256),
            ),
        ),
        init_cfg=dict(
            type='PretrainedBackbone',
            checkpoint='https://download.openmmlab.com/mmpose/'
            'pretrain_models/hrnet_w32-36af842e.pth',
        ),
    ),
    head=dict(
        type='HigherHRNetHead',
        in_channels=32,
        num_keypoints=17,
        scale_maps=True,
        keypoint_loss=dict(
            type='SWAHRLoss', scale_adaptive=True, weight_adaptive=True
        ),
        tag_loss=dict(type='PullPushLoss'),
    ),
    test_cfg=dict(flip_test=True),
)

# Small HigherHRNet for synthetic people; trains on two CPU cores.
model = dict(
    type='BottomupPyramidPoseEstimator',
    data_preprocessor=dict(
        type='BottomupPyramidDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        channels_last=True,
    ),
    backbone=dict(
        type='HRNet',
        in_channels=3,
        extra=dict(
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
        ),
        # Training from scratch: a larger standard deviation than 0.001, with
        # which the official implementation starts from a pretrained backbone.
        init_cfg=[
            dict(type='Kaiming', layer='Conv2d'),
            dict(type='Constant', val=1, layer='BatchNorm2d'),
        ],
    ),
    head=dict(
        type='HigherHRNetHead',
        in_channels=48,  # more than the 17 heatmaps and 17 tag maps
        deconv_out_channels=32,
        num_keypoints=17,
        num_basic_blocks=0,
        scale_maps=True,
        keypoint_loss=dict(
            type='SWAHRLoss', scale_adaptive=True, weight_adaptive=True
        ),
        tag_loss=dict(type='PullPushLoss'),
    ),
    test_cfg=dict(flip_test=True),
)

# COCO keypoints 2017; a leaf config adds the pipelines and the batch size. Not
# named coco.py: MMPose looks for its own file of that name in the current
# folder first.
num_keypoints = 17
# Grouping order: head and torso first, then the limbs outwards.
keypoint_order = [0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16]

dataset_type = 'CocoDataset'
data_mode = 'bottomup'  # also read by MMPose's inferencers
data_root = 'data/coco/'
val_ann_file = 'annotations/person_keypoints_val2017.json'

train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        test_mode=True,
        ann_file=val_ann_file,
        data_prefix=dict(img='val2017/'),
    ),
)
test_dataloader = val_dataloader

# An instance's score is the mean over its keypoints, filled ones not counted;
# no suppression of whole poses, as official.
val_evaluator = dict(
    type='BottomupCocoMetric',
    ann_file=data_root + val_ann_file,
    score_mode='bbox',
    nms_mode='none',
)
test_evaluator = val_evaluator

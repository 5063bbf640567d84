# CrowdPose: 14 keypoints, training and validation set merged as in the paper
# (tools/dataset_tools/merge_annotations.py), no masks. A leaf config adds the
# pipelines. See coco-keypoints.py for why it is not named crowdpose.py.
_base_ = './coco-keypoints.py'
num_keypoints = 14
# As in the official implementation: the order of COCO, first 14 keypoints.
keypoint_order = [0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13]

dataset_type = 'CrowdPoseDataset'
data_root = 'data/crowdpose/'
val_ann_file = 'annotations/mmpose_crowdpose_test.json'

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/mmpose_crowdpose_trainval.json',
        data_prefix=dict(img='images/'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=val_ann_file,
        data_prefix=dict(img='images/'),
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(
    _delete_=True, type='CrowdPoseMetric', ann_file=data_root + val_ann_file
)
test_evaluator = val_evaluator

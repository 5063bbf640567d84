_base_ = [
    '../_base_/datasets/crowdpose-keypoints.py',
    '../_base_/inputs/640x640.py',
    '../_base_/models/higherhrnet-w48.py',
    '../_base_/schedules/adam_300e.py',
]
codec = dict(_base_.codec, decode_keypoint_order=_base_.keypoint_order)
model = dict(head=dict(decoder=codec, num_keypoints=_base_.num_keypoints))
train_dataloader = dict(
    batch_size=10, dataset=dict(pipeline=_base_.train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=9.6e-4))  # for 80 images
auto_scale_lr = dict(base_batch_size=80)
sync_bn = 'torch'

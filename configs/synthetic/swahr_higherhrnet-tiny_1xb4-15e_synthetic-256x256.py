_base_ = [
    '../_base_/datasets/synthetic.py',
    '../_base_/inputs/256x256_synthetic.py',
    '../_base_/models/higherhrnet-tiny.py',
    '../_base_/schedules/adam_15e.py',
]
codec = dict(_base_.codec, decode_keypoint_order=_base_.keypoint_order)
randomness = dict(seed=0)
model = dict(head=dict(decoder=codec), test_cfg=dict(flip_test=False))
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=4)

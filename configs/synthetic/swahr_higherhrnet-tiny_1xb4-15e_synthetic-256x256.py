_base_ = [
    '../_base_/datasets/synthetic.py',
    '../_base_/inputs/256x256_synthetic.py',
    '../_base_/models/higherhrnet-tiny.py',
    '../_base_/schedules/adam_15e.py',
]
codec = dict(_base_.codec, decode_keypoint_order=_base_.keypoint_order)
# Tags are learned in minutes, not days: ten times the official weights.
randomness = dict(seed=0)
tag_loss = dict(pull_weight=1e-2, push_weight=5e-3)
head = dict(decoder=codec, tag_loss=tag_loss)
model = dict(head=head, test_cfg=dict(flip_test=False))
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=4)

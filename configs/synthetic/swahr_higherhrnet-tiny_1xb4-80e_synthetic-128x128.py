# Base of the study, tools/analysis_tools/ablation.py, which sets the method,
# the dataset and the length. The loss weights have the official ratio.
_base_ = [
    '../_base_/datasets/synthetic.py',
    '../_base_/inputs/128x128_synthetic.py',
    '../_base_/models/higherhrnet-tiny.py',
    '../_base_/schedules/adam_80e.py',
]
codec = dict(_base_.codec, decode_keypoint_order=_base_.keypoint_order)
randomness = dict(seed=0)
model = dict(head=dict(decoder=codec), test_cfg=dict(flip_test=False))
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=4)

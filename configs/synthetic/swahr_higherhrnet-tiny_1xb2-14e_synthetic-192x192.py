# The quick start, on people in clothes. Small batches: WAHR needs many steps.
_base_ = [
    '../_base_/datasets/synthetic_clothed.py',
    '../_base_/inputs/192x192_synthetic.py',
    '../_base_/models/higherhrnet-tiny.py',
    '../_base_/schedules/adam_14e.py',
]
codec = dict(_base_.codec, decode_keypoint_order=_base_.keypoint_order)
randomness = dict(seed=0)
model = dict(head=dict(decoder=codec), test_cfg=dict(flip_test=False))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_dataloader = dict(
    batch_size=2, dataset=dict(pipeline=_base_.train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=2)

_base_ = [
    '../_base_/datasets/synthetic.py',
    '../_base_/inputs/192x192_synthetic.py',
    '../_base_/models/higherhrnet-tiny.py',
    '../_base_/schedules/adam_15e.py',
]
# The quick start, on people in clothes: tools/quickstart.sh. Small batches, as
# WAHR needs many steps.
data_root = 'data/quickstart/'
codec = dict(_base_.codec, decode_keypoint_order=_base_.keypoint_order)
randomness = dict(seed=0)
model = dict(head=dict(decoder=codec), test_cfg=dict(flip_test=False))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=14),
]
train_cfg = dict(max_epochs=14, val_interval=14)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(data_root=data_root, pipeline=_base_.train_pipeline),
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=_base_.val_pipeline)
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + _base_.val_ann_file)
test_evaluator = val_evaluator
auto_scale_lr = dict(base_batch_size=2)

# Not for results: small enough to try a dataset or a change on a CPU.
_base_ = [
    '../_base_/datasets/coco-keypoints.py',
    '../_base_/inputs/512x512.py',
    '../_base_/models/higherhrnet-tiny.py',
    '../_base_/schedules/adam_300e.py',
]
codec = dict(_base_.codec, decode_keypoint_order=_base_.keypoint_order)
model = dict(head=dict(decoder=codec))
train_dataloader = dict(
    batch_size=4, dataset=dict(pipeline=_base_.train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=4)

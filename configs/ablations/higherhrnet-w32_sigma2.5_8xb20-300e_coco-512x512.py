_base_ = './higherhrnet-w32_fine-level_8xb20-300e_coco-512x512.py'
# Table 8: wider Gaussians, on both levels.
codec = dict(_base_.codec, sigma=2.5)
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='GenerateTarget', encoder=codec),
    *_base_.train_pipeline[3:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(head=dict(decoder=codec))

_base_ = '../coco/higherhrnet-w32_8xb20-300e_coco-512x512.py'
# The naive baseline of Table 4: sigma by the width of a person's box, of
# which the paper gives the base, 256 px.
codec = dict(_base_.codec, person_scale=dict(base_width=256))
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='GenerateTarget', encoder=codec),
    *_base_.train_pipeline[3:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(head=dict(decoder=codec))

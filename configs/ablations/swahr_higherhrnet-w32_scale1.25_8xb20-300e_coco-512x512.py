_base_ = '../coco/swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py'
# The range of scales that the paper writes; the released one goes to 1.5.
scale_range = (0.75, 1.25)
train_pipeline = [
    _base_.train_pipeline[0],
    dict(_base_.train_pipeline[1], scale=scale_range),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

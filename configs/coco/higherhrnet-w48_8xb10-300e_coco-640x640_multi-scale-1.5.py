_base_ = './higherhrnet-w48_8xb10-300e_coco-640x640.py'
# Tested at three scales, as in the paper; trained as its base.
scales = (0.5, 1.0, 1.5)
test_pipeline = [
    _base_.val_pipeline[0],
    dict(_base_.val_pipeline[1], scales=scales),
    _base_.val_pipeline[-1],
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

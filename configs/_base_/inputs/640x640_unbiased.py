# As 640x640.py in the exact coordinate convention.
_base_ = './640x640.py'
codec = dict(_base_.codec, unbiased=True)
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='GenerateTarget', encoder=codec),
    dict(type='BottomupGetLossMask', unbiased=True),
    _base_.train_pipeline[-1],
]
val_pipeline = [
    _base_.val_pipeline[0],
    dict(_base_.val_pipeline[1], unbiased=True),
    _base_.val_pipeline[-1],
]

# adam_15e.py with 14 epochs.
_base_ = './adam_15e.py'
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=14),
]
train_cfg = dict(max_epochs=14, val_interval=14)

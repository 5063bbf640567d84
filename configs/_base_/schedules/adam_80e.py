# adam_15e.py with 80 epochs.
_base_ = './adam_15e.py'
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=80),
]
train_cfg = dict(max_epochs=80, val_interval=80)

"""Training in half precision stays finite."""

import os

import pytest
import torch
from helpers.datasets import batch
from helpers.models import training_model
from mmengine.dataset import pseudo_collate

# 1000 steps have passed; one to two minutes on two cores.
STEPS = int(os.environ.get('SWAHR_HALF_PRECISION_STEPS', 100))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('dtype', 'steps'),
    # float16 is slow on a CPU.
    [(torch.bfloat16, STEPS), (torch.float16, STEPS // 4)],
)
def test_steps_in_half_precision_stay_finite(dtype, steps):
    model = training_model()
    samples = pseudo_collate(batch([2, 0]))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler('cpu', enabled=dtype == torch.float16)
    totals = []
    for _ in range(steps):
        data = model.data_preprocessor(samples, True)
        with torch.autocast('cpu', dtype):
            losses = model(**data, mode='loss')
        assert all(value.dtype == torch.float32 for value in losses.values())
        total = sum(losses.values())
        optimizer.zero_grad()
        scaler.scale(total).backward()
        scaler.step(optimizer)
        scaler.update()
        totals.append(float(total))
    assert torch.tensor(totals).isfinite().all()
    assert all(p.isfinite().all() for p in model.parameters())
    assert totals[-1] < totals[0]

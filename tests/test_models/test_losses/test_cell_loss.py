"""The form of the heatmap loss for accelerators, run on the CPU."""

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose import SWAHRLoss
from swahr_mmpose.models.losses.cell_loss import Settings, cell_losses
from swahr_mmpose.models.losses.functional import (
    adaptive_weight,
    scale_adapted_target,
)
from swahr_mmpose.models.losses.sparse_heatmap_loss import row_loss, swahr_loss
from swahr_mmpose.structures import SparseTargets, mask_keypoints

EXAMPLES = int(os.environ.get('SWAHR_FUZZ_EXAMPLES', 1000))


def dense_loss(pred, alpha, target, mask, annotated, gamma, expansion):
    """Formulas of the paper on dense maps, gradients by autograd."""
    valid = pred.new_ones(())
    if mask is not None:
        valid = (mask if mask.dim() == 4 else mask[:, None]).to(pred.dtype)
    if annotated is not None:
        valid = valid * annotated[:, :, None, None]
    regularizer = pred.new_zeros(())
    goal = target
    if alpha is not None:
        alpha = alpha.where(target > 0, 0.0)
        regularizer = (alpha**2 * valid).mean()
        goal = scale_adapted_target(target, alpha, expansion)
    error = (pred - goal) ** 2
    if gamma is not None:
        error = error * adaptive_weight(pred, target, gamma)
    return (error * valid).mean(), regularizer


def on_cells(pred, alpha, target, mask, annotated, *settings):
    return cell_losses(
        [pred],
        None if alpha is None else [alpha],
        [SparseTargets.from_dense(target)],
        [mask],
        annotated,
        Settings(*settings),
    )[0]


def on_cells_inside_the_mask(pred, alpha, target, mask, *rest):
    if mask is not None and mask.dtype != torch.bool:
        return on_cells(pred, alpha, target, mask, *rest)
    alphas = None if alpha is None else [alpha]
    goal = SparseTargets.from_dense(target, mask)
    assert goal.masked == (mask is not None)
    annotated, *settings = rest
    return cell_losses(
        [pred], alphas, [goal], [mask], annotated, Settings(*settings)
    )[0]


def on_sparse_rows(pred, alpha, target, *rest):
    return row_loss(pred, alpha, SparseTargets.from_dense(target), *rest)


def with_gradients(form, inputs, *rest):
    alpha = inputs[1] if len(inputs) > 1 else None
    losses = form(inputs[0], alpha, *rest)
    total = 2 * losses[0] + (3 * losses[1] if len(inputs) > 1 else 0)
    return [*losses, *torch.autograd.grad(total, inputs)]


@settings(max_examples=EXAMPLES // 4, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    sparse=st.sampled_from([0.0, 0.3, 0.9, 0.99, 1.0]),
    adaptive=st.booleans(),
    masked=st.sampled_from(['', 'image', 'keypoint', 'weight']),
    partly=st.booleans(),
    gamma=st.sampled_from([None, 0, 0.01, 1.0]),
    expansion=st.sampled_from(['taylor', 'exact']),
    size=st.sampled_from([(5, 7), (8, 12), (2, 64)]),
)
def test_all_forms_equal_the_formula_on_dense_maps(
    seed, batch, sparse, adaptive, masked, partly, gamma, expansion, size
):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, 3, *size)
    target, pred, alpha, zero, factors = (
        torch.rand(shape, generator=generator, dtype=torch.float64)
        for _ in range(5)
    )
    target = target * (zero >= sparse)
    inputs = [((pred - 0.4) * 3).requires_grad_()]
    inputs += [((alpha - 0.5) * 2).requires_grad_()] if adaptive else []
    mask = {
        '': None,
        'image': zero[:, 0] > 0.3,
        'keypoint': factors > 0.3,
        'weight': zero[:, 1],
    }[masked]
    annotated = factors[:, :, 0, 0] > 0.5 if partly else None
    rest = (target, mask, annotated, gamma, expansion)
    plain = with_gradients(dense_loss, inputs, *rest)
    for form in (row_loss, on_sparse_rows, on_cells, on_cells_inside_the_mask):
        found = with_gradients(form, inputs, *rest)
        for value, expected in zip(found, plain):
            torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize('gamma', [None, 0.01])
def test_sums_in_float32_are_accurate(gamma):
    """Relative error 1e-6 where the loss of most cells is tiny."""
    torch.manual_seed(0)
    target = torch.zeros(8, 17, 128, 128)
    target[:, :, 40:53, 70:83] = torch.rand(13, 13).clamp(min=0.01)
    pred = target + 1e-3 * torch.randn(target.shape)
    alpha = 0.1 * torch.randn(target.shape)
    rest = (None, None, gamma, 'taylor')
    found = on_cells(pred, alpha, target, *rest)
    exact = on_cells(pred.double(), alpha.double(), target.double(), *rest)
    for value, expected in zip(found, exact):
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_good_prediction_has_no_cancellation_error():
    """The background is summed directly, not as a difference of sums."""
    torch.manual_seed(0)
    target = torch.zeros(1, 2, 64, 64)
    target[0, 0, 8:40, 8:40] = torch.rand(32, 32).clamp(min=0.1)
    pred = target + 1e-4 * torch.randn(target.shape)
    rest = (None, None, 0.01, 'taylor')
    fast = on_cells(pred, None, target, *rest)[0]
    plain = dense_loss(pred.double(), None, target.double(), *rest)[0]
    assert fast.item() == pytest.approx(plain.item(), rel=1e-5)


@pytest.mark.parametrize('form', [on_cells, on_sparse_rows])
def test_losses_may_be_changed_in_place(form):
    pred = torch.full((1, 2, 4, 4), 0.5, requires_grad=True)
    target = torch.zeros(1, 2, 4, 4)
    target[0, 0, 1, 1] = 1
    alpha = torch.full_like(pred, 0.1, requires_grad=True)
    for loss in form(pred, alpha, target, None, None, 0.01, 'taylor'):
        maps = (pred, alpha)
        expected = torch.autograd.grad(loss, maps, retain_graph=True)
        loss *= 3
        grads = torch.autograd.grad(loss, maps, retain_graph=True)
        for grad, part in zip(grads, expected):
            torch.testing.assert_close(grad, 3 * part)


@pytest.mark.parametrize('form', [on_cells, on_sparse_rows])
def test_a_batch_without_people_has_the_loss_of_the_background(form):
    pred = torch.randn(2, 3, 8, 8).requires_grad_()
    alpha = torch.randn(2, 3, 8, 8).requires_grad_()
    target = torch.zeros(2, 3, 8, 8)
    losses = form(pred, alpha, target, None, None, 0.01, 'taylor')
    sum(losses).backward()
    torch.testing.assert_close(losses[0], pred.detach().abs().pow(3).mean())
    assert losses[1] == 0
    assert not alpha.grad.any()
    torch.testing.assert_close(
        pred.grad, 3 * pred.detach().abs() * pred.detach() / pred.numel()
    )


@pytest.mark.parametrize('form', [on_cells, on_sparse_rows])
def test_a_nan_in_the_target_makes_the_loss_nan(form):
    target = torch.ones(1, 1, 4, 32)
    target[0, 0, 0, 5] = float('nan')
    maps = torch.zeros(1, 1, 4, 32)
    assert form(maps, None, target, None, None, 0.01, 'taylor')[0].isnan()


def test_a_graph_can_be_used_twice():
    pred, alpha, target = torch.rand(3, 1, 2, 8, 8).requires_grad_()
    losses = on_cells(pred, alpha, target.detach(), None, None, 0.01, 'taylor')
    first, second = (
        torch.autograd.grad(sum(losses), (pred, alpha), retain_graph=True)
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second))


METHODS = dict(
    swahr=(0.01, 'taylor', True),
    exact=(0.01, 'exact', True),
    hard=(0, 'taylor', True),
    sahr=(None, 'taylor', True),
    wahr=(0.01, 'taylor', False),
    baseline=(None, 'taylor', False),
)
MASKS = dict(
    none=lambda target: None,
    image=lambda target: torch.rand(target[:, 0].shape) > 0.3,
    keypoint=lambda target: torch.rand(target.shape) > 0.3,
    weights=lambda target: torch.rand(target[:, 0].shape),
)


def draw_levels(share, dtype=torch.float64):
    """Draw P, alpha and H of two levels; H has values in a share of cells."""
    shapes = [(2, 3, 6, 8), (2, 3, 12, 16)]
    preds, alphas, targets, zeros = (
        [torch.rand(shape, dtype=dtype) for shape in shapes] for _ in range(4)
    )
    preds = [(3 * (p - 0.4)).requires_grad_() for p in preds]
    alphas = [(2 * (a - 0.5)).requires_grad_() for a in alphas]
    return preds, alphas, [t * (z < share) for t, z in zip(targets, zeros)]


def differentiate(losses, leaves, adaptive):
    """Differentiate the losses of all levels, with other factors for each."""
    total = sum(
        (n + 1) * x + (n + 3) * (y if adaptive else 0)
        for n, (x, y) in enumerate(losses)
    )
    return torch.autograd.grad(total, leaves)


@pytest.mark.parametrize('last', [False, True], ids=['nchw', 'nhwc'])
@pytest.mark.parametrize('partly', [False, True], ids=['all', 'partly'])
@pytest.mark.parametrize('share', [0.2, 0.0], ids=['people', 'nobody'])
@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('method', METHODS)
def test_levels_together_have_the_losses_of_each(
    method, mask, share, partly, last
):
    torch.manual_seed(0)
    *settings, adaptive = METHODS[method]
    preds, alphas, targets = draw_levels(share)
    masks = [MASKS[mask](target) for target in targets]
    annotated = torch.tensor([[1, 0, 1], [1, 1, 0]]) > 0 if partly else None
    leaves = preds + (alphas if adaptive else [])
    inputs = leaves
    if last:
        inputs = [
            x.contiguous(memory_format=torch.channels_last) for x in leaves
        ]
    cells = [
        SparseTargets.from_dense(
            t, m if mask in ('image', 'keypoint') else None
        )
        for t, m in zip(targets, masks)
    ]
    found = cell_losses(
        inputs[:2],
        inputs[2:] or None,
        cells,
        masks,
        annotated,
        Settings(*settings),
    )
    expected = [
        dense_loss(p, a if adaptive else None, t, m, annotated, *settings)
        for p, a, t, m in zip(preds, alphas, targets, masks)
    ]
    for pair in zip(found, expected):
        torch.testing.assert_close(*pair, rtol=1e-10, atol=1e-13)
    gradients = [
        differentiate(losses, leaves, adaptive) for losses in (found, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-13)


def test_gradients_have_the_memory_format_of_the_maps():
    preds, alphas, targets = draw_levels(0.2, torch.float32)
    maps = [
        x.detach().to(memory_format=torch.channels_last).requires_grad_()
        for x in preds + alphas
    ]
    cells = [SparseTargets.from_dense(t) for t in targets]
    losses = cell_losses(
        maps[:2], maps[2:], cells, [None] * 2, None, Settings(0.01, 'taylor')
    )
    found = torch.autograd.grad(sum(x + y for x, y in losses), maps)
    for grad in found:
        assert grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_autocast_does_not_change_the_losses(dtype):
    preds, alphas, targets = draw_levels(0.2, torch.float32)

    def compute():
        cells = [SparseTargets.from_dense(t) for t in targets]
        losses = cell_losses(
            preds, alphas, cells, [None] * 2, None, Settings(0.01, 'taylor')
        )
        values = [x for pair in losses for x in pair]
        return [*values, *torch.autograd.grad(sum(values), preds + alphas)]

    expected = compute()
    with torch.autocast('cpu', dtype=dtype):
        found = compute()
    for one, other in zip(found, expected):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


@pytest.mark.parametrize('expansion', ['taylor', 'exact'])
def test_the_module_accepts_sparse_targets(expansion):
    pred, alpha, target = torch.rand(3, 2, 3, 8, 32)
    target = target.clamp(min=0.8) - 0.8
    annotated = torch.tensor([[True, False, True], [True, True, True]])
    loss = SWAHRLoss(expansion=expansion)
    dense = loss(pred, alpha, target, mask_keypoints(None, annotated, (8, 32)))
    sparse = SparseTargets.from_dense(target)
    torch.testing.assert_close(
        loss(pred, alpha, sparse, annotated=annotated), dense
    )
    with pytest.raises(ValueError, match='the target \\(2, 3, 8, 32\\)'):
        loss(pred[..., :16], alpha[..., :16], sparse)


def test_an_unknown_expansion_is_reported_for_sparse_targets():
    maps = torch.rand(1, 1, 4, 4)
    with pytest.raises(ValueError, match="'exact', got 'Taylor'"):
        swahr_loss(
            maps, maps, SparseTargets.from_dense(maps), expansion='Taylor'
        )

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose import PullPushLoss, SWAHRLoss
from swahr_mmpose.codecs.gaussian_targets import keypoint_indices
from swahr_mmpose.models.losses.functional import (
    adaptive_weight,
    scale_adapted_target,
)
from swahr_mmpose.models.losses.sparse_heatmap_loss import swahr_loss
from swahr_mmpose.models.losses.tag_loss import pull_push

EXAMPLES = int(os.environ.get('SWAHR_FUZZ_EXAMPLES', 1000))
LOSS_FILES = [f'loss_0{i}.npz' for i in range(7)]
METHODS = [
    dict(),
    dict(weight_adaptive=False),
    dict(scale_adaptive=False),
    dict(scale_adaptive=False, weight_adaptive=False),
    dict(gamma=0),
    dict(expansion='exact'),
    dict(regularizer_weight=0.1, loss_weight=3.0),
]


def plain_pull_push(tags, indices):
    """Formulas of the docstring, one image and person at a time."""
    pulls, pushes = [], []
    for maps, people in zip(tags, indices):
        num_keypoints = people.shape[1]
        flat = maps.flatten(1).unflatten(0, (-1, num_keypoints))
        means, spreads = [], []
        for person in people:
            found = [flat[:, k, i] for k, (i, v) in enumerate(person) if v]
            if found:
                found = torch.stack(found)
                means.append(found.mean(dim=0))
                spreads.append(((found - means[-1]) ** 2).sum(dim=1).mean())
        n = len(means)
        pulls.append(sum(spreads) / n if n else maps.sum() * 0)
        pairs = [
            torch.exp(-((a - b) ** 2).sum())
            for i, a in enumerate(means)
            for j, b in enumerate(means)
            if i != j
        ]
        pushes.append(sum(pairs) / (n * (n - 1)) if pairs else maps.sum() * 0)
    return sum(pulls) / len(pulls), sum(pushes) / len(pushes)


def random_batch(dtype=torch.float64, shape=(2, 3, 6, 5)):
    target = torch.rand(shape, dtype=dtype).clamp(min=0.3) - 0.3
    pred = torch.randn(shape, dtype=dtype) * 0.5
    alpha = torch.randn(shape, dtype=dtype) * 0.5
    mask = torch.rand(shape[0], *shape[2:]) > 0.3
    return pred, alpha, target, mask


@pytest.mark.parametrize('file', LOSS_FILES)
def test_swahr_loss_and_gradients_equal_the_official_ones(golden, file):
    z = golden(file)
    pred = torch.from_numpy(z['pred']).requires_grad_()
    alpha = torch.from_numpy(z['scale']).requires_grad_()
    regression, regularizer = SWAHRLoss()(
        pred, alpha, torch.from_numpy(z['gt']), torch.from_numpy(z['mask'])
    )
    (regression + regularizer).backward()
    np.testing.assert_allclose(
        regression.item(), z['official_heatmap_loss'].mean(), rtol=1e-5
    )
    np.testing.assert_allclose(
        regularizer.item(), z['official_scale_loss'].mean(), rtol=1e-5
    )
    for ours, official in (
        (pred.grad, z['official_grad_pred']),
        (alpha.grad, z['official_grad_scale']),
    ):
        np.testing.assert_allclose(
            ours, official, rtol=0, atol=1e-6 * np.abs(official).max()
        )


@pytest.mark.parametrize('file', LOSS_FILES)
def test_every_switch_equals_the_formula_in_float64(golden, file):
    z = golden(file)
    pred, alpha, target, mask = (
        torch.from_numpy(z[k]).double()
        for k in ('pred', 'scale', 'gt', 'mask')
    )
    index = z['own_sample_idx']
    for v, (scale, weight, gamma, factor) in enumerate(z['own_variants']):
        loss = SWAHRLoss(bool(scale), bool(weight), gamma, factor)
        p, a = pred.clone().requires_grad_(), alpha.clone().requires_grad_()
        total = sum(loss(p, a if scale else None, target, mask))
        total.backward()
        np.testing.assert_allclose(total.item(), z['own_total'][v], 1e-12)
        expected = z['own_grad_pred_sample'][v]
        np.testing.assert_allclose(
            p.grad.flatten()[index], expected, rtol=1e-5, atol=1e-12
        )
        if scale:
            expected = z['own_grad_scale_sample'][v]
            np.testing.assert_allclose(
                a.grad.flatten()[index], expected, rtol=1e-5, atol=1e-12
            )


def test_pull_push_and_gradients_equal_the_official_ones(golden):
    z = golden('ae_loss.npz')
    for c in range(int(z['num_cases'])):
        case = {k.split('/')[1]: z[k] for k in z if k.startswith(f'case{c}/')}
        side, joints = int(case['resolution']), case['joints_xyv']
        shape = (len(joints), joints.shape[2], side, side)
        tags = torch.from_numpy(case['tags']).view(shape).requires_grad_()
        indices = [
            torch.from_numpy(
                keypoint_indices(j[:n, :, :2], j[:n, :, 2], (side, side))
            )
            for j, n in zip(joints, case['num_people'])
        ]
        pull, push = PullPushLoss(1.0, 0.5)(tags, indices)
        (pull + push).backward()
        np.testing.assert_allclose(
            [pull.item(), push.item()],
            [case['pull'].mean(), case['push'].mean()],
            rtol=1e-5,
            atol=1e-7,
        )
        expected = case['grad_total'].reshape(shape)
        np.testing.assert_allclose(
            tags.grad,
            expected,
            rtol=0,
            atol=max(1e-6 * np.abs(expected).max(), 1e-8),
        )


@pytest.mark.parametrize('kwargs', METHODS)
def test_gradients_of_the_heatmap_loss_are_right(kwargs):
    pred, alpha, target, mask = random_batch(shape=(1, 2, 3, 4))
    loss = SWAHRLoss(**kwargs)
    inputs = (pred.requires_grad_(), alpha.requires_grad_())

    def total(p, a):
        return sum(loss(p, a if loss.scale_adaptive else None, target, mask))

    assert torch.autograd.gradcheck(total, inputs)


@pytest.mark.parametrize('tag_dim', [1, 2])
def test_gradients_of_the_tag_loss_are_right(tag_dim):
    tags = torch.randn(3, tag_dim * 2, 3, 3, dtype=torch.float64)
    people = [torch.zeros(0, 2, 2, dtype=torch.long)]
    people += [
        torch.stack(
            [torch.randint(9, (n, 2)), torch.ones(n, 2).long()], dim=-1
        )
        for n in (1, 3)
    ]
    assert torch.autograd.gradcheck(
        lambda t: sum(PullPushLoss(1.0, 1.0)(t, people)), tags.requires_grad_()
    )


@given(
    st.integers(0, 2**31),
    st.integers(1, 2),
    st.lists(st.integers(0, 4), min_size=1, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_pull_push_agrees_with_the_formula_person_by_person(
    seed, tag_dim, people
):
    generator = torch.Generator().manual_seed(seed)
    tags = torch.randn(len(people), tag_dim * 3, 4, 5, generator=generator)
    indices = [
        torch.stack(
            [
                torch.randint(20, (n, 3), generator=generator),
                torch.randint(2, (n, 3), generator=generator),
            ],
            dim=-1,
        )
        for n in people
    ]
    torch.testing.assert_close(
        pull_push(tags, indices), plain_pull_push(tags, indices)
    )


@pytest.mark.parametrize('num_people', [0, 2])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_pull_push_of_half_precision_is_computed_in_float32(dtype, num_people):
    tags = torch.randn(1, 17, 4, 4).to(dtype).requires_grad_()
    people = [torch.ones(num_people, 17, 2, dtype=torch.long)]
    people[0][..., 0] = torch.randint(16, people[0].shape[:2])
    losses = pull_push(tags, people)
    assert all(x.dtype == torch.float32 for x in losses)
    torch.testing.assert_close(losses, pull_push(tags.float(), people))
    sum(losses).backward()
    assert tags.grad.dtype == dtype


def test_losses_of_a_batch_with_zero_one_and_three_people():
    tags = torch.randn(3, 17, 8, 8)
    people = [torch.zeros(n, 17, 2, dtype=torch.long) for n in (0, 1, 3)]
    for indices in people:
        indices[..., 0] = torch.randint(64, indices.shape[:2])
        indices[..., 1] = 1
    pull, push = pull_push(tags, people)
    one_by_one = [pull_push(t[None], [i]) for t, i in zip(tags, people)]
    torch.testing.assert_close(pull, sum(p for p, _ in one_by_one) / 3)
    torch.testing.assert_close(push, sum(p for _, p in one_by_one) / 3)
    assert one_by_one[0][0] == 0
    assert one_by_one[1][1] == 0


def test_without_people_the_losses_are_zero_and_attached():
    tags = torch.randn(2, 17, 4, 4, requires_grad=True)
    for people in ([torch.zeros(0, 17, 2)] * 2, [torch.zeros(2, 17, 2)] * 2):
        losses = pull_push(tags, people)
        assert [x.item() for x in losses] == [0, 0]
        sum(losses).backward()
    assert not tags.grad.any()
    alpha = torch.randn(2, 17, 4, 4, requires_grad=True)
    _, regularizer = SWAHRLoss()(tags, alpha, torch.zeros(2, 17, 4, 4))
    assert regularizer.item() == 0
    regularizer.backward()
    assert not alpha.grad.any()


def test_order_of_people_does_not_matter():
    tags = torch.randn(1, 17, 4, 4)
    people = torch.randint(2, (5, 17, 2))
    torch.testing.assert_close(
        pull_push(tags, [people]), pull_push(tags, [people.flip(0)])
    )


def test_alpha_zero_is_the_plain_target():
    target = random_batch()[2]
    for expansion in ('taylor', 'exact'):
        torch.testing.assert_close(
            scale_adapted_target(target, torch.zeros_like(target), expansion),
            target,
        )


def test_taylor_is_the_second_order_of_the_exact_form():
    target = torch.tensor([0.135, 0.5, 0.9, 1.0, 0.0], dtype=torch.float64)
    for alpha, tolerance in ((0.01, 2e-6), (0.1, 1e-3), (-0.1, 1e-3)):
        alpha = torch.full_like(target, alpha)
        torch.testing.assert_close(
            scale_adapted_target(target, alpha, 'taylor'),
            scale_adapted_target(target, alpha, 'exact'),
            atol=tolerance,
            rtol=0,
        )
        torch.testing.assert_close(
            scale_adapted_target(target, alpha, 'exact'), target ** (1 + alpha)
        )


def test_taylor_rises_again_far_from_one():
    got = scale_adapted_target(
        torch.tensor([0.135]), torch.tensor([2.0]), 'taylor'
    )
    assert got.item() == pytest.approx(0.6767, abs=1e-3)


def test_gamma_zero_is_the_limit_of_small_gamma():
    pred, _, target, _ = random_batch()
    torch.testing.assert_close(
        adaptive_weight(pred, target, 0),
        adaptive_weight(pred, target, 1e-7),
        atol=1e-5,
        rtol=0,
    )


def test_masked_pixels_have_no_gradient():
    pred, alpha, target, mask = random_batch()
    pred.requires_grad_()
    alpha.requires_grad_()
    sum(swahr_loss(pred, alpha, target, mask)).backward()
    outside = ~mask[:, None].expand_as(pred)
    assert not pred.grad[outside].any()
    assert not alpha.grad[outside].any()
    assert pred.grad[~outside].any()


def test_half_precision_is_computed_in_float32():
    pred, alpha, target, _ = random_batch(torch.float32)
    got = SWAHRLoss()(pred.bfloat16(), alpha.bfloat16(), target)
    expected = SWAHRLoss()(
        pred.bfloat16().float(), alpha.bfloat16().float(), target
    )
    assert [x.dtype for x in got] == [torch.float32] * 2
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(gamma=-1), 'gamma must be at least 0, got -1'),
        (dict(regularizer_weight=-1), 'regularizer_weight must be at least 0'),
        (dict(expansion='cubic'), "'taylor' or 'exact', got 'cubic'"),
    ],
)
def test_bad_arguments_are_reported(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SWAHRLoss(**kwargs)


def test_shapes_that_disagree_are_reported():
    pred, alpha, target, mask = random_batch()
    with pytest.raises(
        ValueError, match='got no scale maps; set scale_maps=True'
    ):
        SWAHRLoss()(pred, None, target)
    with pytest.raises(
        ValueError, match='got scale maps; set scale_maps=False'
    ):
        SWAHRLoss(scale_adaptive=False)(pred, alpha, target)
    expected = (
        'check input_size, heatmap_sizes and num_keypoints of codec, pipeline '
        'and head'
    )
    with pytest.raises(ValueError, match=expected):
        SWAHRLoss()(pred, alpha, target[..., :2])
    with pytest.raises(ValueError, match='mask has shape'):
        SWAHRLoss()(pred, alpha, target, mask[:, None])
    with pytest.raises(ValueError, match=r'or \(B, K, H, W\)'):
        SWAHRLoss()(pred, alpha, target, mask[:, None].expand(-1, 2, -1, -1))
    with pytest.raises(ValueError, match='of 2 images, .* got 1'):
        PullPushLoss()(pred, [torch.zeros(0, 3, 2)])


def plain_swahr_loss(
    pred, scale_maps, target, mask=None, gamma=0.01, expansion='taylor'
):
    """Formulas of the paper on dense maps, gradients by autograd."""
    valid = 1.0
    if mask is not None:
        valid = (mask if mask.dim() == 4 else mask[:, None]).to(pred.dtype)
    regularizer = pred.new_zeros(())
    goal = target
    if scale_maps is not None:
        alpha = scale_maps.where(target > 0, 0.0)
        regularizer = (alpha**2 * valid).mean()
        goal = scale_adapted_target(target, alpha, expansion)
    error = (pred - goal) ** 2
    if gamma is not None:
        error = error * adaptive_weight(pred, target, gamma)
    return (error * valid).mean(), regularizer


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    sparse=st.sampled_from([0.0, 0.3, 0.9, 0.99, 1.0]),
    adaptive=st.booleans(),
    masked=st.sampled_from(['', 'image', 'keypoint']),
    gamma=st.sampled_from([None, 0, 0.01, 1.0]),
    expansion=st.sampled_from(['taylor', 'exact']),
    size=st.sampled_from([(5, 7), (8, 12), (2, 64)]),
)
def test_the_sparse_loss_equals_the_formula_on_dense_maps(
    seed, batch, sparse, adaptive, masked, gamma, expansion, size
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
    masks = {'': None, 'image': zero[:, 0] > 0.3, 'keypoint': factors > 0.3}
    mask = masks[masked]
    results = []
    for form in (plain_swahr_loss, swahr_loss):
        losses = form(
            inputs[0],
            inputs[1] if adaptive else None,
            target,
            mask,
            gamma=gamma,
            expansion=expansion,
        )
        total = 2 * losses[0] + (3 * losses[1] if adaptive else 0)
        results.append([*losses, *torch.autograd.grad(total, inputs)])
    for plain, fast in zip(*results):
        torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-13)


def test_a_good_prediction_has_no_cancellation_error():
    """The background is summed directly, not as a difference of sums."""
    target = torch.zeros(1, 2, 64, 64)
    target[0, 0, 8:40, 8:40] = torch.rand(32, 32).clamp(min=0.1)
    pred = target + 1e-4 * torch.randn(target.shape)
    fast = swahr_loss(pred, None, target)[0]
    plain = plain_swahr_loss(pred.double(), None, target.double())[0]
    assert fast.item() == pytest.approx(plain.item(), rel=1e-5)


def test_a_nan_in_the_target_makes_the_loss_nan():
    target = torch.ones(1, 1, 4, 32)
    target[0, 0, 0, 5] = float('nan')
    loss = SWAHRLoss(scale_adaptive=False)
    assert loss(torch.zeros(1, 1, 4, 32), None, target)[0].isnan()


def test_scale_maps_of_another_precision_get_their_gradient():
    pred, alpha, target, _ = random_batch(torch.float32)
    alpha = alpha.double().requires_grad_()
    sum(SWAHRLoss()(pred.requires_grad_(), alpha, target)).backward()
    assert alpha.grad.dtype == torch.float64
    assert alpha.grad.any()


def test_invisible_keypoints_are_not_read():
    """Neither an invalid index nor an infinite tag has an effect."""
    tags = torch.randn(1, 2, 2, 2)
    tags[0, 0, 0, 0] = float('inf')
    indices = [torch.tensor([[[99, 0], [3, 1]]])]
    assert [float(x) for x in PullPushLoss()(tags, indices)] == [0, 0]


def test_losses_of_an_empty_batch_are_zero():
    assert [float(x) for x in PullPushLoss()(torch.zeros(0, 3, 4, 4), [])] == [
        0,
        0,
    ]


def test_huge_tags_raise_no_warning():
    tags = torch.tensor([1e20, -1e20]).reshape(1, 1, 1, 2)
    indices = [torch.tensor([[[0, 1]], [[1, 1]]])]
    assert [float(x) for x in PullPushLoss()(tags, indices)] == [0, 0]


@pytest.mark.parametrize('kwargs', METHODS)
def test_the_module_is_the_formula_with_its_switches(kwargs):
    pred, alpha, target, mask = random_batch()
    chosen = dict(
        dict(
            scale_adaptive=True,
            weight_adaptive=True,
            gamma=0.01,
            regularizer_weight=1.0,
            expansion='taylor',
            loss_weight=1.0,
        ),
        **kwargs,
    )
    alpha = alpha if chosen['scale_adaptive'] else None
    regression, regularizer = plain_swahr_loss(
        pred,
        alpha,
        target,
        mask,
        gamma=chosen['gamma'] if chosen['weight_adaptive'] else None,
        expansion=chosen['expansion'],
    )
    factor = chosen['loss_weight']
    torch.testing.assert_close(
        SWAHRLoss(**kwargs)(pred, alpha, target, mask),
        (
            factor * regression,
            factor * chosen['regularizer_weight'] * regularizer,
        ),
    )


@pytest.mark.parametrize('adaptive', [False, True])
def test_the_function_has_the_defaults_of_the_paper(adaptive):
    pred, alpha, target, _ = random_batch()
    alpha = alpha if adaptive else None
    torch.testing.assert_close(
        swahr_loss(pred, alpha, target), plain_swahr_loss(pred, alpha, target)
    )


def test_an_unknown_expansion_is_reported_by_the_functions():
    pred, alpha, target, _ = random_batch()
    for call in (
        lambda: scale_adapted_target(target, alpha, 'Taylor'),
        lambda: swahr_loss(pred, alpha, target, expansion='Taylor'),
    ):
        with pytest.raises(ValueError, match="'exact', got 'Taylor'"):
            call()

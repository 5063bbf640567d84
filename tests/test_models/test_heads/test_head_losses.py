"""Losses of a head with losses of one's own."""

import copy

import pytest
import torch
from helpers.device_cases import build_model, training_batch
from torch import nn

from swahr_mmpose import PullPushLoss, SWAHRLoss
from swahr_mmpose.models.heads.head_losses import compute_losses
from swahr_mmpose.structures import SparseTargets


class OwnForward(SWAHRLoss):
    """Sees the targets of each level."""

    def __init__(self, sparse):
        super().__init__()
        self.accepts_sparse_targets = sparse
        self.targets = []

    def forward(self, heatmaps, scale_maps, target, *rest):
        self.targets.append(target)
        return super().forward(heatmaps, scale_maps, target, *rest)


class OwnTagLoss(nn.Module):
    """Knows nothing of indices on the host."""

    def forward(self, tags, keypoint_indices):
        self.devices = {i.device for i in keypoint_indices}
        return PullPushLoss()(tags, keypoint_indices)


@pytest.fixture(scope='module')
def case():
    model = build_model().train()
    data = model.data_preprocessor(training_batch((0, 2, 4)), True)
    with torch.no_grad():
        output = model.head.forward(model.extract_feat(data['inputs']), True)
    return output, data['data_samples']


@pytest.mark.parametrize('partly', [False, True], ids=['all', 'partly'])
@pytest.mark.parametrize('sparse', [False, True], ids=['dense', 'sparse'])
def test_a_subclass_with_its_own_forward_is_called_by_level(
    case, sparse, partly
):
    output, samples = case
    samples = copy.deepcopy(samples)
    for sample in samples if partly else ():
        labels = sample.gt_instance_labels
        weights = torch.ones(len(labels.keypoint_indices), 17)
        weights[:, 3] = 0
        labels.keypoints_visible_weights = weights
    expected = compute_losses(output, samples, SWAHRLoss(), PullPushLoss())
    loss = OwnForward(sparse)
    found = compute_losses(output, samples, loss, OwnTagLoss())
    kinds = {isinstance(t, SparseTargets) for t in loss.targets}
    assert (len(loss.targets), kinds) == (2, {sparse})
    assert list(found) == list(expected)
    torch.testing.assert_close(found, expected)


def test_a_tag_loss_of_ones_own_gets_indices_on_the_device(case):
    output, samples = case
    loss = OwnTagLoss()
    compute_losses(output, samples, SWAHRLoss(), loss)
    assert loss.devices == {output.tags.device}

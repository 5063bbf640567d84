import numpy as np
import pytest
import torch
from helpers.datasets import batch
from helpers.models import training_model
from mmpose.structures import MultilevelPixelData

from swahr_mmpose.models.losses.functional import scale_adapted_target
from swahr_mmpose.visualization.inspection import (
    inspect_sample,
    inspect_targets,
    links_of,
)


@pytest.mark.parametrize('people', [0, 3])
def test_a_sample_is_what_the_pipeline_made(people):
    sample = batch([people])[0]
    found = inspect_targets(sample)
    blue = sample['inputs'][0].numpy()
    np.testing.assert_array_equal(found.image[..., 2], blue)
    assert found.keypoints.shape == (people, 17, 2)
    assert found.visible.shape == (people, 17)
    assert [t.shape for t in found.targets] == [(17, 16, 16), (17, 32, 32)]
    assert [m.shape for m in found.masks] == [(16, 16), (32, 32)]
    assert any(t.any() for t in found.targets) == (people > 0)
    assert found.predicted is None
    assert found.adapted is None


def test_crowds_without_labelled_keypoints_are_left_out():
    """They have no targets, even if their keypoints are set."""
    sample = batch([3])[0]
    annotations = [
        dict(iscrowd=1, num_keypoints=0),
        dict(iscrowd=0, num_keypoints=0),
        dict(iscrowd=1, num_keypoints=4),
    ]
    everyone = inspect_targets(sample).keypoints
    sample['data_samples'].set_metainfo(dict(raw_ann_info=annotations))
    found = inspect_targets(sample)
    np.testing.assert_array_equal(found.keypoints, everyone[1:])
    assert len(found.visible) == 2
    sample['data_samples'].set_metainfo(dict(raw_ann_info=annotations[:2]))
    assert len(inspect_targets(sample).keypoints) == 3


def test_dense_and_absent_masks_are_understood():
    sample = batch([1])[0]
    sparse = inspect_targets(sample)
    fields = sample['data_samples'].gt_fields
    assert not all(m.all() for m in sparse.masks)
    dense = type(sample['data_samples'])()
    dense.gt_instances = sample['data_samples'].gt_instances
    dense.gt_fields = MultilevelPixelData(heatmaps=fields.heatmaps)
    found = inspect_targets(dict(sample, data_samples=dense))
    assert all(m.all() for m in found.masks)
    np.testing.assert_array_equal(found.targets[1], sparse.targets[1])


def test_adapted_targets_are_those_of_the_loss():
    model, sample = training_model(), batch([2])[0]
    found = inspect_sample(model, sample)
    data = model.data_preprocessor(
        dict(inputs=[sample['inputs']], data_samples=[]), False
    )
    with torch.no_grad():
        feats = model.extract_feat(data['inputs'])
        output = model.head(feats, with_scale_maps=True)
    for level, alpha in enumerate(output.scale_maps):
        target = torch.from_numpy(found.targets[level])
        wanted = scale_adapted_target(target, alpha[0], 'taylor')
        np.testing.assert_array_equal(found.adapted[level], wanted)
        np.testing.assert_array_equal(found.scale_maps[level], alpha[0])
        heatmaps = output.heatmaps[level][0]
        np.testing.assert_array_equal(found.predicted[level], heatmaps)
    assert alpha.abs().max() > 0


@pytest.mark.parametrize('training', [True, False])
def test_looking_changes_nothing(training):
    model, sample = training_model(), batch([1])[0]
    model.train(training)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    inspect_sample(model, sample)
    assert model.training == training
    assert all(
        torch.equal(v, before[k]) for k, v in model.state_dict().items()
    )
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()


def test_a_model_without_scale_branch_has_no_scale_maps():
    model = training_model()
    model.head.scale_layers = None
    found = inspect_sample(model, batch([1])[0])
    assert found.scale_maps is None
    assert found.adapted is None
    assert len(found.predicted) == 2


def test_links_are_pairs():
    assert links_of(dict(skeleton_links=[[0, 1]])) == [(0, 1)]
    assert links_of({}) == []

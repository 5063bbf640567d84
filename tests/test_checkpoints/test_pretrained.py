import pytest
import torch
from helpers.models import small_hrnet
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from swahr_mmpose.checkpoints import pretrained
from swahr_mmpose.checkpoints.io import file_sha256, write_checkpoint


def build(checkpoint, modules=1):
    init_default_scope('mmpose')
    return MODELS.build(
        dict(
            type='HRNet',
            extra=small_hrnet(modules).extra,
            init_cfg=dict(type='PretrainedBackbone', checkpoint=checkpoint),
        )
    )


@pytest.fixture
def weights():
    return {
        k: torch.randn(v.shape) if v.is_floating_point() else v + 3
        for k, v in small_hrnet().state_dict().items()
    }


@pytest.mark.parametrize(
    ('prefix', 'other'),
    [('', 'classifier.weight'), ('backbone.', 'head.final_layers.0.bias')],
)
def test_imagenet_and_coco_models_give_their_backbone(
    tmp_path, weights, monkeypatch, prefix, other
):
    path = str(tmp_path / 'x.pth')
    state = {prefix + k: v for k, v in weights.items()}
    state[other] = torch.zeros(3)
    write_checkpoint(dict(state_dict=state), path)
    said = []
    monkeypatch.setattr(
        pretrained, 'print_log', lambda text, *_: said.append(text)
    )
    backbone = build(path)
    backbone.init_weights()
    found = backbone.state_dict()
    assert all(torch.equal(found[k], weights[k]) for k in weights)
    count = len(weights)
    assert f'backbone: {count} of {count} entries taken from' in said[0]
    assert f'not used from there: {other.split(".")[0]} (1)' in said[0]


def test_official_models_give_their_backbone(tmp_path, golden):
    archive, prefix = golden('model.npz'), 'k17/state_dict/'
    state = {
        'module.' + key[len(prefix) :]: torch.from_numpy(archive[key].copy())
        for key in archive
        if key.startswith(prefix)
    }
    path = str(tmp_path / 'x.pth')
    write_checkpoint(state, path)
    backbone = build(path)
    backbone.init_weights()
    conv = backbone.state_dict()['conv1.weight']
    assert torch.equal(conv, state['module.conv1.weight'])


def test_another_backbone_is_refused(tmp_path, weights):
    path = str(tmp_path / 'x.pth')
    weights['conv1.weight'] = torch.zeros(64, 1, 3, 3)
    del weights['bn1.bias']
    write_checkpoint(weights, path)
    with pytest.raises(ValueError, match=r'bn1.bias is missing') as caught:
        build(path).init_weights()
    assert 'conv1.weight has shape (64, 1, 3, 3)' in str(caught.value)
    assert '2 of' in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        build(str(tmp_path / 'none.pth')).init_weights()


def test_files_without_batch_counters_serve(tmp_path, weights):
    path = str(tmp_path / 'x.pth')
    old = {k: v for k, v in weights.items() if 'batches' not in k}
    write_checkpoint(old, path)
    backbone = build(path)
    backbone.init_weights()
    assert int(backbone.state_dict()['bn1.num_batches_tracked']) == 0


def test_a_url_is_kept_in_the_cache_and_checked(
    tmp_path, weights, monkeypatch
):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    path = tmp_path / 'x.pth'
    write_checkpoint(weights, path)
    digest = file_sha256(path)
    right = path.rename(tmp_path / f'hrnet-{digest[:8]}.pth')
    backbone = build(right.as_uri())
    backbone.init_weights()
    assert (tmp_path / f'hub/checkpoints/{right.name}').is_file()
    right.unlink()  # from now on the copy serves
    build(right.as_uri()).init_weights()
    wrong = tmp_path / 'hrnet-01234567.pth'
    write_checkpoint(weights, wrong)
    with pytest.raises(RuntimeError, match='cannot fetch file:.* fetch it by'):
        build(wrong.as_uri()).init_weights()

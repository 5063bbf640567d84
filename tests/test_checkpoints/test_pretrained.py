import pytest
import torch
from helpers.models import make_head, small_hrnet
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from swahr_mmpose.checkpoints import pretrained
from swahr_mmpose.checkpoints.convert import prepare_to_publish
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
def test_imagenet_and_coco_models_initialize_the_backbone(
    tmp_path, weights, monkeypatch, prefix, other
):
    path = str(tmp_path / 'x.pth')
    state = {prefix + k: v for k, v in weights.items()}
    state[other] = torch.zeros(3)
    write_checkpoint(dict(state_dict=state), path)
    messages = []
    monkeypatch.setattr(
        pretrained, 'print_log', lambda text, *_: messages.append(text)
    )
    backbone = build(path)
    backbone.init_weights()
    state = backbone.state_dict()
    assert all(torch.equal(state[k], weights[k]) for k in weights)
    count = len(weights)
    assert f'backbone: {count} of {count} entries loaded from' in messages[0]
    assert f'; not used: {other.split(".")[0]} (1)' in messages[0]


def test_official_models_initialize_the_backbone(tmp_path, golden):
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
    with pytest.raises(RuntimeError, match='cannot download file:.* manually'):
        build(wrong.as_uri()).init_weights()


BACKBONES = {
    'ResNet': (dict(type='ResNet', depth=18), 512),  # zero_init_residual
    'PyramidVisionTransformer': (  # its children have init_weights
        dict(
            type='PyramidVisionTransformer',
            pretrain_img_size=64,
            embed_dims=8,
            num_layers=[1, 1, 1, 1],
            num_heads=[1, 1, 1, 1],
        ),
        64,
    ),
}


@pytest.mark.parametrize('name', BACKBONES)
@pytest.mark.parametrize('published', [True, False])
def test_any_backbone_is_initialized(tmp_path, monkeypatch, name, published):
    init_default_scope('mmpose')
    config, channels = BACKBONES[name]
    source = MODELS.build(dict(config))
    state = source.state_dict()
    state = {k: torch.randn_like(v.float()).to(v) for k, v in state.items()}
    path = str(tmp_path / 'x.pth')
    if published:
        head = make_head(in_channels=channels, deconv_out_channels=8)
        pose = {f'backbone.{k}': v for k, v in state.items()}
        pose.update((f'head.{k}', v) for k, v in head.state_dict().items())
        write_checkpoint(prepare_to_publish(pose), path)
    else:  # a classifier
        other = {'fc.weight': torch.zeros(3, 2), 'fc.bias': torch.zeros(3)}
        write_checkpoint(dict(state_dict={**state, **other}), path)
    messages = []
    monkeypatch.setattr(
        pretrained, 'print_log', lambda text, *_: messages.append(text)
    )
    init = dict(type='PretrainedBackbone', checkpoint=path)
    backbone = MODELS.build(dict(config, init_cfg=init))
    backbone.init_weights()
    loaded = backbone.state_dict()
    assert all(torch.equal(loaded[k], state[k]) for k in state)
    unused = 'head' if published else 'fc (2)'
    assert f'; not used: {unused}' in messages[0]


def test_an_incomplete_checkpoint_of_another_backbone_is_refused(tmp_path):
    init_default_scope('mmpose')
    state = MODELS.build(dict(type='ResNet', depth=18)).state_dict()
    del state['layer4.1.conv2.weight']
    path = str(tmp_path / 'x.pth')
    write_checkpoint(state, path)
    init = dict(type='PretrainedBackbone', checkpoint=path)
    backbone = MODELS.build(dict(type='ResNet', depth=18, init_cfg=init))
    with pytest.raises(ValueError, match='layer4.1.conv2.weight is missing'):
        backbone.init_weights()

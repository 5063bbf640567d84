import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.runner import BaseLoop
from mmpose.datasets import CocoDataset
from mmpose.registry import HOOKS
from torch import nn

from swahr_mmpose import CheckCheckpointHook, CheckLossHook, CheckPathsHook
from swahr_mmpose.checkpoints.compare import compare_state_dicts
from swahr_mmpose.datasets.checks.image_files import refuse_paths_outside


class Loop(BaseLoop):
    def __init__(self):
        pass

    def run(self):
        pass


class Model(nn.Module):
    def __init__(self, out=2, scale=True):
        super().__init__()
        self.backbone = nn.Linear(3, out)
        self.head = nn.Module()
        if scale:
            self.head.scale_layers = nn.Linear(2, 2)


class Log(list):
    def warning(self, text):
        self.append(text)


TRAINING_STATE = dict(
    meta=dict(epoch=1, iter=2),
    message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
    optimizer=dict(state={}, param_groups=[]),
    param_schedulers=[],
)


def load(model, state, training=False, resume=False, without=()):
    extra = {k: v for k, v in TRAINING_STATE.items() if k not in without}
    runner = SimpleNamespace(
        hooks=[],
        logger=Log(),
        model=model,
        _load_from='some.pth',
        # A runner that only tests keeps the loop's config.
        _train_loop=Loop() if training else dict(by_epoch=True),
        _resume=resume,
        optim_wrapper=None,
        param_schedulers=[],
    )
    CheckCheckpointHook().after_load_checkpoint(
        runner, dict(extra, state_dict=dict(state))
    )
    return runner.logger


def test_the_own_weights_fit():
    assert load(Model(), Model().state_dict()) == []
    wrapped = {f'module.{k}': v for k, v in Model().state_dict().items()}
    state = {**wrapped, 'data_preprocessor.mean': torch.zeros(3)}
    assert load(Model(), state) == []


@pytest.mark.parametrize(('have', 'want'), [(True, False), (False, True)])
def test_the_scale_branch_may_be_absent_on_either_side(have, want):
    assert load(Model(scale=want), Model(scale=have).state_dict()) == []


def test_an_untrained_scale_branch_is_not_tested():
    state = Model(scale=False).state_dict()
    tested, trained = Model(), Model()
    load(tested, state)
    assert tested.head.scale_layers is None
    load(trained, state, training=True)
    assert trained.head.scale_layers is not None


def test_scales_of_an_untrained_branch_are_refused():
    model = Model()
    model.test_cfg = dict(output_scales=True)
    state = Model(scale=False).state_dict()
    with pytest.raises(ValueError, match='some.pth has no scale branch'):
        load(model, state)
    load(model, state, training=True)
    load(model, Model().state_dict())
    assert model.head.scale_layers is not None


def test_weights_of_another_shape_are_refused_for_testing():
    with pytest.raises(ValueError, match=r'backbone.weight has shape \(5, 3'):
        load(Model(), Model(out=5).state_dict())


def test_weights_of_another_model_are_refused_everywhere():
    other = {'conv1.weight': torch.zeros(1)}
    for kwargs in ({}, {'training': True}, {'training': True, 'resume': True}):
        with pytest.raises(ValueError, match='some.pth does not fit'):
            load(Model(), other, **kwargs)


def test_a_backbone_of_another_width_is_refused_for_fine_tuning():
    with pytest.raises(ValueError, match=r'backbone.weight has shape'):
        load(Model(), Model(out=5).state_dict(), training=True)


def test_fine_tuning_may_take_a_part():
    part = {
        k: v
        for k, v in Model().state_dict().items()
        if k.startswith('backbone')
    }
    load(Model(), {**part, 'old_head.weight': torch.zeros(1)}, training=True)
    with pytest.raises(ValueError, match='old_head.weight is not part'):
        load(Model(), {**part, 'old_head.weight': torch.zeros(1)})


@pytest.mark.parametrize('value', [float('nan'), float('-inf')])
@pytest.mark.parametrize(
    'kwargs', [{}, dict(training=True), dict(training=True, resume=True)]
)
def test_weights_that_are_not_finite_are_refused(value, kwargs):
    state = Model().state_dict()
    state['backbone.bias'] = torch.tensor([0, value])
    with pytest.raises(ValueError, match='some.pth: backbone.bias has 1 NaN'):
        load(Model(), state, **kwargs)


def test_values_that_are_no_tensors_are_refused():
    state = dict(Model().state_dict(), **{'backbone.bias': 3})
    with pytest.raises(ValueError, match='backbone.bias is int, no tensor'):
        load(Model(), state)


def test_resuming_without_optimizer_is_reported():
    state = Model().state_dict()
    resumed = dict(training=True, resume=True)
    assert load(Model(), state, **resumed) == []
    log = load(Model(), state, **resumed, without=['optimizer'])
    assert len(log) == 1
    assert 'some.pth has no optimizer: momentum' in log[0]
    (line,) = load(Model(), state, **resumed, without=['param_schedulers'])
    assert 'schedule of the config is used' in line
    assert load(Model(), state, without=TRAINING_STATE) == []


@pytest.mark.parametrize('key', ['meta', 'message_hub'])
def test_resuming_from_a_published_file_is_refused(key):
    with pytest.raises(ValueError, match=f'has no {key}.*load_from=some.pth'):
        load(
            Model(),
            Model().state_dict(),
            training=True,
            resume=True,
            without=[key],
        )


def test_missing_and_unexpected_keys_are_listed():
    assert compare_state_dicts(
        {'a': torch.zeros(1)}, {'b': torch.zeros(1)}
    ) == ['b is missing', 'a is not part of the model']


def test_it_is_registered():
    assert HOOKS.get('CheckCheckpointHook') is CheckCheckpointHook


@pytest.mark.parametrize('value', [float('nan'), torch.tensor(float('inf'))])
def test_losses_that_are_not_finite_stop_the_run(value):
    hook = CheckLossHook(interval=10)
    outputs = dict(loss=value, loss_pull=0.1, loss_push=value, grad_norm=value)
    loader = [0] * 25
    at = [SimpleNamespace(iter=n, train_dataloader=loader) for n in range(50)]
    hook.after_train_iter(at[8], 8, None, outputs)
    with pytest.raises(FloatingPointError, match='10: loss, loss_push not'):
        hook.after_train_iter(at[9], 9, None, outputs)
    with pytest.raises(FloatingPointError, match='25: loss, loss_push not'):
        hook.after_train_iter(at[24], 24, None, outputs)


def test_weights_that_are_not_finite_are_not_saved():
    runner, hook = SimpleNamespace(iter=9), CheckLossHook()
    weights = dict(count=torch.tensor(3), weight=torch.zeros(2))
    hook.before_save_checkpoint(runner, dict(state_dict=weights))
    weights['weight'][1] = float('nan')
    with pytest.raises(FloatingPointError, match='10: weight is not finite'):
        hook.before_save_checkpoint(runner, dict(state_dict=weights))


def test_finite_losses_pass():
    outputs = dict(loss=torch.tensor(1e30), loss_pull=0.0)
    hook = CheckLossHook(interval=1)
    assert (
        hook.after_train_iter(
            SimpleNamespace(iter=0, train_dataloader=[0]), 0, None, outputs
        )
        is None
    )


def dataset(folder, file_name):
    images = [dict(id=1, file_name=file_name, width=9, height=9)]
    content = dict(images=images, annotations=[], categories=[])
    path = folder / 'annotations.json'
    path.write_text(json.dumps(content))
    return CocoDataset(
        ann_file=str(path),
        data_root='',
        data_prefix=dict(img=str(folder / 'images')),
        data_mode='bottomup',
        test_mode=True,
    )


@pytest.mark.parametrize('name', ['a.jpg', 'sub/a.jpg', './a.jpg'])
def test_images_in_their_folder_are_read(tmp_path, name):
    part = dataset(tmp_path, name)
    refuse_paths_outside(part)
    assert part[0]['img_path'].endswith('a.jpg')


@pytest.mark.parametrize('name', ['../a.jpg', 'sub/../../a.jpg', '/etc/a.jpg'])
@pytest.mark.parametrize('wrap', [None, RepeatDataset, ConcatDataset])
def test_images_outside_their_folder_end_the_run(tmp_path, name, wrap):
    part = dataset(tmp_path, name)
    if wrap is RepeatDataset:
        part = RepeatDataset(part, times=2)
    elif wrap is ConcatDataset:
        part = ConcatDataset([dataset(tmp_path, 'a.jpg'), part])
    loader = SimpleNamespace(dataset=part)
    good = SimpleNamespace(dataset=dataset(tmp_path, 'a.jpg'))
    hook = CheckPathsHook()
    with pytest.raises(ValueError, match='is not in .*images/, expected'):
        hook.before_test(SimpleNamespace(test_dataloader=loader))
    with pytest.raises(ValueError, match='do not trust'):
        hook.before_val(
            SimpleNamespace(val_dataloader=loader, _train_loop=None)
        )
    runner = dict(train_dataloader=good, val_dataloader=loader)
    hook.before_train(SimpleNamespace(**runner, val_loop=None))
    with pytest.raises(ValueError, match='do not trust'):
        hook.before_train(SimpleNamespace(**runner, val_loop=1))

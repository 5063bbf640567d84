"""``--cfg-options``: form of the values, misspelt keys, merging."""

import argparse

import pytest
from mmengine.config import Config

from swahr_mmpose.utils.cli import add_cfg_options, merge_options
from swahr_mmpose.utils.config_options import find_misspelt_keys


def make_config():
    return Config(
        dict(
            train_cfg=dict(max_epochs=3),
            model=dict(
                stage2=dict(lr=1),
                test_cfg=dict(flip_test=True),
                decoder=dict(decode_keypoint_order=[0]),
            ),
            hooks=[dict(interval=1)],
        )
    )


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    return parser


def test_values_are_parsed_as_in_mmpose(parser):
    words = ['--cfg-options', 'a.b=1', 'c=(2,3)', 'd=x=y']
    options = parser.parse_args(words).cfg_options
    assert options == {'a.b': 1, 'c': (2, 3), 'd': 'x=y'}


@pytest.mark.parametrize(
    ('word', 'message'),
    [
        ('a.b', "got 'a.b', expected KEY=VALUE without spaces"),
        ('=1', "got '=1', expected KEY=VALUE without spaces"),
        ('a=(1,2', 'brackets exist in (1,2; close every bracket'),
    ],
)
def test_another_form_is_a_usage_error(parser, capsys, word, message):
    with pytest.raises(SystemExit, match='2'):
        parser.parse_args(['--cfg-options', word])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('key', 'part', 'similar'),
    [
        ('modl.x', 'modl', 'model'),
        ('model.test_cfg.flip_tset', 'flip_tset', 'flip_test'),
        ('train_cfg.max_epoch', 'max_epoch', 'max_epochs'),
        ('hooks.0.intervall', 'intervall', 'interval'),
    ],
)
def test_a_key_with_one_wrong_character_is_found(key, part, similar):
    assert list(find_misspelt_keys(make_config(), {key: 1})) == [
        (key, part, similar)
    ]


@pytest.mark.parametrize(
    'key',
    [
        'train_cfg.max_epochs',
        'train_cfg.val_interval',
        'model.decoder.decode_keypoint_thr',
        'model.stage2.l2',
        'model.stage3.lr',
        'model.test_cfg.flip_test.x',
        'hooks.4.interval',
        'hooks.x.interval',
        'resume',
    ],
)
def test_existing_and_new_keys_are_not_misspelt(key):
    assert list(find_misspelt_keys(make_config(), {key: 1})) == []


def test_merging_warns_once_and_sets_the_values(capsys):
    cfg = make_config()
    merge_options(cfg, {'model.test_cfg.flip_tst': 1, 'resume': True})
    assert cfg.resume is True
    assert cfg.model.test_cfg.flip_tst == 1
    assert capsys.readouterr().err == (
        'warning: --cfg-options model.test_cfg.flip_tst: the config has no '
        "'flip_tst'; did you mean 'flip_test'?\n"
    )


@pytest.mark.parametrize(
    'key', ['model.test_cfg.flip_test.x', 'hooks.4.interval', 'hooks.x.y']
)
def test_a_key_that_does_not_fit_is_an_error(key):
    with pytest.raises(ValueError, match='--cfg-options does not fit'):
        merge_options(make_config(), {key: 1})


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('train_cfg.max_epochs', 'many', 'a number such as 3'),
        ('model.test_cfg.flip_test', 'Flase', 'True or False such as True'),
        ('hooks.0.interval', 'x', 'a number such as 1'),
        ('model.decoder.decode_keypoint_order.0', 'x', 'a number such as 0'),
        ('loss.gamma', 'x', 'a number such as 0.01'),  # not in the config
    ],
)
def test_a_text_in_place_of_a_number_is_an_error(key, value, message):
    cfg = make_config()
    cfg.loss = dict(type='SWAHRLoss')
    expected = f'--cfg-options {key}={value}: got a text, expected {message}'
    with pytest.raises(ValueError, match=expected):
        merge_options(cfg, {key: value})


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('optim_wrapper.loss_scale', 'dynamic'),
        ('model.name', 'x'),
        ('model.stage2.lr', 2),
        ('model.stage2.lr', None),
        ('model.type', 'Other'),
        ('loss.unknown', 'x'),
        ('hooks.0.name', 'x'),
    ],
)
def test_other_values_are_merged(key, value):
    cfg = make_config()
    cfg.optim_wrapper = dict(loss_scale=512.0)
    cfg.loss = dict(type='SWAHRLoss')
    merge_options(cfg, {key: value})
    node = cfg
    for part in key.split('.'):
        node = node[int(part) if part.isdigit() else part]
    assert node == value

"""Missing files and wrong names are found before torch is imported."""

import pytest

from swahr_mmpose.utils.argument_checks import (
    require_checkpoint,
    require_file,
    require_model,
    require_onnx,
)

CONFIG = 'synthetic/swahr_higherhrnet-tiny_1xb2-14e_synthetic-192x192.py'


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    (tmp_path / 'a.onnx').touch()
    assert require_file(str(tmp_path / 'a.onnx'), 'model file', 'x') is None
    with pytest.raises(FileNotFoundError, match='file b.onnx does .*; do x'):
        require_file('b.onnx', 'model file', 'do x')


def test_urls_of_checkpoints_are_not_opened():
    assert require_checkpoint('https://host.invalid/a.pth') is None
    with pytest.raises(FileNotFoundError, match='checkpoint a.pth does not'):
        require_checkpoint('a.pth')


@pytest.mark.parametrize(
    ('config', 'checkpoint', 'message'),
    [
        ('absent.py', 'a.pth', 'config absent.py does not exist'),
        ('higherhrnet-w23', None, "did you mean 'higherhrnet-w32'"),
        ('higherhrnet-w32', 'a.pth', 'checkpoint a.pth does not exist'),
        (CONFIG, None, f'no checkpoint for {CONFIG}'),
        (CONFIG, 'a.pth', 'checkpoint a.pth does not exist'),
        ('photo.jpg', None, 'photo.jpg is an image, expected a model'),
    ],
)
def test_a_model_that_cannot_be_found_is_named(config, checkpoint, message):
    with pytest.raises((OSError, ValueError), match=message):
        require_model(config, checkpoint)


def test_a_file_that_is_no_config_is_named(tmp_path):
    path = tmp_path / 'photo.jpg'
    path.touch()
    with pytest.raises(ValueError, match='photo.jpg is an image, expected a'):
        require_model(str(path), 'a.pth')


def test_models_that_exist_pass(tmp_path):
    (tmp_path / 'a.pth').touch()
    assert require_model('higherhrnet-w32', None) is None
    assert require_model(CONFIG, str(tmp_path / 'a.pth')) is None


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ('a.pth', 'a.pth is a checkpoint, expected .*export CONFIG a.pth`'),
        (CONFIG, f'is a config, expected an ONNX file .*{CONFIG} CHECKPOINT`'),
        ('swahr-w32', 'is the name of .* `swahr onnx export swahr-w32`'),
        ('a.jpg', 'a.jpg is an image, expected .*export CONFIG CHECKPOINT`'),
        ('a.onnx', 'model file a.onnx does not .*export CONFIG CHECKPOINT`'),
    ],
)
def test_the_command_that_makes_an_exported_model_is_named(given, message):
    with pytest.raises((OSError, ValueError), match=message):
        require_onnx(given)


def test_exported_models_that_exist_pass(tmp_path):
    for name in ('a.onnx', 'b.ort', 'swahr-w32'):
        (tmp_path / name).touch()
        assert require_onnx(str(tmp_path / name)) is None

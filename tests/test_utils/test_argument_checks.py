"""Missing files and wrong names are found before torch is imported."""

import os

import numpy as np
import pytest

from swahr_mmpose.checkpoints.io import read_checkpoint
from swahr_mmpose.utils.argument_checks import (
    describe_missing,
    describe_wrong_checkpoint,
    require_checkpoint,
    require_file,
    require_fraction,
    require_model,
    require_onnx,
    require_output,
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


@pytest.fixture
def work_dir(tmp_path):
    """A work directory with two checkpoints, as MMEngine writes it."""
    for number, name in enumerate(['epoch_9.pth', 'epoch_14.pth']):
        (tmp_path / name).write_bytes(b'PK')
        os.utime(tmp_path / name, (number, number))
    (tmp_path / 'last_checkpoint').write_text(f'{tmp_path}/epoch_9.pth')
    return tmp_path


def test_the_latest_checkpoint_of_a_folder_is_suggested(work_dir):
    message = r'is a folder; give a file, such as .*epoch_9.pth$'
    with pytest.raises(ValueError, match=message):
        require_checkpoint(str(work_dir))
    moved = work_dir.rename(work_dir.with_name('moved'))
    with pytest.raises(ValueError, match=r'such as .*moved/epoch_9.pth$'):
        require_checkpoint(str(moved))
    (moved / 'last_checkpoint').unlink()
    with pytest.raises(ValueError, match=r'such as .*epoch_14.pth$'):
        require_checkpoint(str(moved))


def test_a_folder_without_checkpoints_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'is a folder; give a file \(.pth'):
        require_checkpoint(str(tmp_path))


def test_the_checkpoint_of_a_text_file_is_suggested(work_dir):
    path = str(work_dir / 'last_checkpoint')
    message = 'last_checkpoint is a text file .*; give .*/epoch_9.pth$'
    with pytest.raises(ValueError, match=message):
        require_checkpoint(path)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(path)


def test_other_text_files_and_checkpoints_pass(work_dir):
    assert require_checkpoint(str(work_dir / 'epoch_9.pth')) is None
    (work_dir / 'a.txt').write_text('two lines\nend.pth')
    assert describe_wrong_checkpoint(str(work_dir / 'a.txt')) == ''
    assert describe_wrong_checkpoint(str(work_dir / 'absent.pth')) == ''


def test_missing_inputs_are_named_up_to_five():
    assert describe_missing(['a']) == 'input a does not exist; check its path'
    names = [f'{n}.jpg' for n in range(7)]
    message = describe_missing(names)
    assert message.startswith('7 inputs do not exist: 0.jpg, 1.jpg')
    assert '4.jpg, ...; check' in message


@pytest.mark.parametrize('value', [0, 0.3, 1, np.float32(0.5), True])
def test_thresholds_from_0_to_1_pass(value):
    assert require_fraction('--score-thr', value) is None


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (30, 'score from 0 to 1, got 30; for 30 % use 0.3$'),
        (-0.1, 'got -0.1$'),
        (1e9, r'got 1e\+09$'),
        (float('nan'), 'got nan$'),
        ('a', "got 'a'$"),
        (None, 'got None$'),
    ],
)
def test_other_thresholds_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        require_fraction('--score-thr', value)


def test_outputs_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / 'file').touch()
    for good in (None, str(tmp_path / 'new/folder/a.JSON')):
        assert require_output('--out-file', good, ['.json']) is None
    for name, endings, message in (
        ('a.pt', ['.onnx'], 'a.pt, expected a name that ends with .onnx'),
        ('', (), 'is a folder, expected the name of a file'),
        ('file/x/a.json', (), 'cannot be written: .*file is no folder'),
    ):
        with pytest.raises((OSError, ValueError), match=message):
            require_output('--out-file', str(tmp_path / name), endings)

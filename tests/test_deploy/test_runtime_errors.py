"""Errors of the command of the runtime: one line, before the model runs."""

import numpy as np
import pytest

from swahr_mmpose.deploy.runtime import Poses
from swahr_mmpose.deploy.runtime import __main__ as command
from swahr_mmpose.deploy.runtime.validation import parse_score_threshold


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ('--out-file none/x.json', 'none does not exist; create it, or'),
        ('--out-file .', '--out-file . is a folder, expected the name of'),
        ('--score-thr 30', '--score-thr is 30.0, expected .* 30 % use 0.3'),
        ('--threads 0', '--threads is 0, expected 1 or more'),
        ('', 'model file m.onnx does not exist'),
    ],
)
def test_options_are_checked_before_the_model_is_loaded(
    tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    words = ['swahr_runtime', 'm.onnx', 'a.jpg', *options.split()]
    monkeypatch.setattr('sys.argv', words)
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        command.main()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('value', ['0', '0.25', 1, np.float32(0.5)])
def test_thresholds_from_0_to_1_are_numbers(value):
    assert parse_score_threshold('score_thr', value) == float(value)


@pytest.mark.parametrize('value', ['', 'high', 'nan', '1e9', -1, None, 1.1])
def test_other_thresholds_are_refused(value):
    with pytest.raises(ValueError, match='score_thr is .*, expected a number'):
        parse_score_threshold('score_thr', value)
    people = Poses(np.zeros((1, 1, 2)), np.ones((1, 1)), np.ones(1))
    with pytest.raises(ValueError, match='expected a number from 0 to 1'):
        people.as_dicts(['nose'], value)

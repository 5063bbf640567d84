"""Files and lines that commands write."""

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from swahr_mmpose.commands.browse_dataset import name_samples
from swahr_mmpose.commands.evaluate_onnx import _print_results
from swahr_mmpose.commands.test import write_metrics

METRICS = {'coco/AP': np.float64(0.5), 'coco/AP(H)': 'not defined', 'n': 3}
READERS = {
    'json': lambda data: json.loads(data),
    'yaml': lambda data: yaml.safe_load(data),
    'yml': lambda data: yaml.safe_load(data),
    'pkl': lambda data: pickle.loads(data),
}


@pytest.mark.parametrize('extension', READERS)
def test_metrics_are_written_as_plain_numbers(tmp_path, extension):
    path = tmp_path / f'metrics.{extension}'
    write_metrics(str(path), METRICS)
    found = READERS[extension](path.read_bytes())
    assert found == METRICS
    assert type(found['coco/AP']) is float


def test_metrics_that_are_not_defined_are_printed(capsys):
    _print_results({'exported': dict(METRICS, ms=[1.0, 2.0, 3.0])})
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        'exported: 2.0 ms (1.0-3.0) per image',
        '  coco/AP: 0.5000',
        '  coco/AP(H): not defined',
        '  n: 3.0000',
    ]


def test_images_of_one_name_have_a_figure_each():
    paths = ['a/1.jpg', 'a/2.jpg', 'b/1.jpg', 'a/1.png']
    dataset = SimpleNamespace(
        get_data_info=lambda index: dict(img_path=paths[index])
    )
    assert name_samples(dataset, range(4)) == {
        0: '1_0', 1: '2', 2: '1_2', 3: '1_3',
    }  # fmt: skip
    assert name_samples(dataset, [0]) == {0: '1'}

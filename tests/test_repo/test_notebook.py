"""The notebook runs from its first cell to its last."""

import ast
import json
import os

import matplotlib
import pytest
from helpers import ROOT

matplotlib.use('Agg')
NOTEBOOK = ROOT / 'docs/first_steps.ipynb'
SMALL = """
epochs = 1
dataset_options = dict(
    num_train=4, num_val=6, image_size=(160, 128), max_height=120
)
data_root = 'data/'
work_dir = 'work'
"""


def read_cells():
    """Tags and source of the code cells."""
    content = json.loads(NOTEBOOK.read_text(encoding='utf-8'))
    return [
        (cell['metadata'].get('tags', []), ''.join(cell['source']))
        for cell in content['cells']
        if cell['cell_type'] == 'code'
    ]


def test_it_is_stored_without_outputs():
    content = json.loads(NOTEBOOK.read_text(encoding='utf-8'))
    code = [c for c in content['cells'] if c['cell_type'] == 'code']
    assert [c['outputs'] for c in code] == [[]] * len(code)
    assert all(c['execution_count'] is None for c in code)


# By exec in one namespace: a kernel would add a process and five packages.
@pytest.mark.slow
def test_it_runs_with_a_small_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figures = []
    monkeypatch.setattr(
        'matplotlib.pyplot.show', lambda: figures.append(plt.gcf())
    )
    from matplotlib import pyplot as plt

    names = {}
    for tags, source in read_cells():
        if 'skip-execution' in tags:
            continue
        if 'parameters' in tags:
            assert assigned(SMALL) == assigned(source)
            source = SMALL
        exec(compile(source, NOTEBOOK.name, 'exec'), names)
    assert len(figures) == 3
    plt.close('all')
    assert os.path.isfile('work/epoch_1.pth')
    assert names['result'].sigmas is not None


def assigned(source):
    """Names that a cell assigns."""
    return [node.targets[0].id for node in ast.parse(source).body]

from types import SimpleNamespace

import pytest
from helpers.datasets import batch
from helpers.models import training_model
from mmengine.visualization import Visualizer
from mmpose.registry import HOOKS

from swahr_mmpose import BottomupVisualizationHook


class Samples(list):
    """Dataset that records the seeds of the requested samples."""

    metainfo = dict(skeleton_links=[(0, 1)])

    def __init__(self, *args):
        super().__init__(*args)
        self.seeds = []

    def __getitem__(self, index):
        self.seeds.append(getattr(index, 'seed', None))
        return super().__getitem__(index)


def runner(folder, samples, epoch, model=None):
    visualizer = Visualizer(
        name=str(folder),
        vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(folder),
    )
    return SimpleNamespace(
        model=model or training_model(),
        epoch=epoch,
        train_dataloader=SimpleNamespace(dataset=samples),
        visualizer=visualizer,
    )


def names(folder):
    return sorted(p.name for p in folder.rglob('*.png'))


def test_figures_go_to_the_visualizer_every_n_epochs(tmp_path):
    hook = BottomupVisualizationHook(interval=2, num_samples=5)
    samples = Samples(batch([2, 0]))
    hook.after_train_epoch(runner(tmp_path / 'a', samples, epoch=0))
    assert not names(tmp_path)
    hook.after_train_epoch(runner(tmp_path / 'b', samples, epoch=1))
    assert names(tmp_path) == [
        'scale_maps_0_2.png',
        'scale_maps_1_2.png',
        'targets_0_2.png',
        'targets_1_2.png',
    ]
    assert samples.seeds == [(0, 0, 0), (0, 0, 1)]


def test_without_scale_branch_there_are_targets_alone(tmp_path):
    model = training_model()
    model.head.scale_layers = None
    hook = BottomupVisualizationHook(interval=1, num_samples=1)
    hook.after_train_epoch(runner(tmp_path, Samples(batch([1])), 0, model))
    assert names(tmp_path) == ['targets_0_1.png']


@pytest.mark.parametrize('bad', [dict(interval=0), dict(num_samples=0)])
def test_bad_arguments_are_named(bad):
    with pytest.raises(ValueError, match=f'{next(iter(bad))}.* 0'):
        BottomupVisualizationHook(**bad)


def test_it_is_registered():
    assert HOOKS.get('BottomupVisualizationHook') is BottomupVisualizationHook

"""Datasets and models are built for tools."""

from pathlib import Path

import mmpose
import pytest
import torch
from helpers.tools import CONFIG, save_random_weights
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmpose.registry import DATASETS

from swahr_mmpose.apis.inferencer import Inferencer
from swahr_mmpose.apis.loading import load_dataset, load_model
from swahr_mmpose.checkpoints.io import read_checkpoint


@pytest.fixture
def cfg(synthetic):
    """A config with the synthetic dataset."""
    cfg = Config.fromfile(CONFIG)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(synthetic)
    return cfg


def test_a_missing_annotation_file_is_named(cfg):
    cfg.test_dataloader.dataset.ann_file = 'absent.json'
    with pytest.raises(FileNotFoundError, match='absent.json does not exist'):
        load_dataset(cfg)


def test_annotations_of_other_classes_may_be_a_folder(cfg, tmp_path):
    class FolderDataset(BaseDataset):
        def load_data_list(self):
            return [dict(img_path=str(p)) for p in tmp_path.iterdir()]

    (tmp_path / 'a.txt').touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS.module_dict, 'FolderDataset', FolderDataset)
        cfg.test_dataloader.dataset = dict(
            type='FolderDataset',
            ann_file=str(tmp_path),
            data_prefix=dict(img=str(tmp_path)),
            pipeline=[],
        )
        assert len(load_dataset(cfg)) == 1


@pytest.mark.parametrize('lazy', [False, True])
def test_pycocotools_prints_nothing(cfg, lazy, capsys):
    cfg.test_dataloader.dataset.lazy_init = lazy
    assert len(load_dataset(cfg)) > 0
    assert capsys.readouterr().out == ''


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return save_random_weights(tmp_path_factory.mktemp('weights'))


@pytest.fixture(scope='module')
def stripped(checkpoint, tmp_path_factory):
    """The same weights without the scale branch."""
    state = read_checkpoint(checkpoint)['state_dict']
    kept = {k: v for k, v in state.items() if 'scale_layers' not in k}
    path = tmp_path_factory.mktemp('weights') / 'stripped.pth'
    torch.save(dict(state_dict=kept), path)
    return str(path)


WITHOUT_SCALES = {
    'model.head.scale_maps': False,
    'model.head.keypoint_loss.scale_adaptive': False,
}


def test_a_scale_branch_on_one_side_alone_is_loaded_in_silence(
    checkpoint, stripped, capfd
):
    cfg = Config.fromfile(CONFIG)
    model = load_model(cfg, stripped)
    assert model.head.scale_layers is None
    cfg.merge_from_dict(WITHOUT_SCALES)
    assert load_model(cfg, checkpoint).head.scale_layers is None
    assert ''.join(capfd.readouterr()) == ''


def test_scales_without_a_trained_branch_are_refused(checkpoint, stripped):
    cfg = Config.fromfile(CONFIG)
    with pytest.raises(ValueError, match='stripped.pth has no scale branch'):
        load_model(cfg, stripped, output_scales=True)
    with pytest.raises(ValueError, match='stripped.pth has no scale branch'):
        Inferencer(cfg, stripped, 'cpu', output_scales=True)
    cfg.merge_from_dict(WITHOUT_SCALES)
    with pytest.raises(ValueError, match=r'config .*\.py has no scale branch'):
        load_model(cfg, checkpoint, output_scales=True)


def test_the_setting_of_a_config_requires_a_branch_too(checkpoint, stripped):
    cfg = Config.fromfile(CONFIG)
    cfg.model.test_cfg.output_scales = True
    with pytest.raises(ValueError, match='stripped.pth has no scale branch'):
        load_model(cfg, stripped)
    assert load_model(cfg, stripped, output_scales=False) is not None
    assert cfg.model.test_cfg.output_scales is True
    assert load_model(cfg, checkpoint).test_cfg.output_scales is True


def test_a_top_down_model_is_refused(tmp_path):
    folder = Path(mmpose.__file__).parent / '.mim/configs/body_2d_keypoint'
    name = 'topdown_heatmap/coco/td-hm_litehrnet-18_8xb64-210e_coco-256x192.py'
    cfg = Config.fromfile(folder / name)
    with pytest.raises(ValueError, match='TopdownPoseEstimator is not a bott'):
        load_model(cfg, str(tmp_path / 'a.pth'))

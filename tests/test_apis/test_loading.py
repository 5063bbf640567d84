"""Datasets are built for tools."""

import pytest
from helpers.tools import CONFIG
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmpose.registry import DATASETS

from swahr_mmpose.apis.loading import load_dataset


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

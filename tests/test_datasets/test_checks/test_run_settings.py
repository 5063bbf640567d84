"""Numbers of data loaders and loops are checked before a run."""

import pytest
from mmengine.config import Config

from swahr_mmpose.datasets.checks.run_settings import check_run_settings


def make_config(**options):
    cfg = Config(
        dict(
            train_dataloader=dict(batch_size=2, num_workers=0),
            val_dataloader=None,
            test_dataloader=dict(batch_size=1),
            train_cfg=dict(max_epochs=3, val_interval=1),
        )
    )
    cfg.merge_from_dict({k.replace('__', '.'): v for k, v in options.items()})
    return cfg


def test_valid_numbers_pass():
    splits = ('train', 'val', 'test')
    assert check_run_settings(make_config(), splits) is None


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('train_dataloader.batch_size', 0),
        ('train_dataloader.batch_size', 1.5),
        ('train_dataloader.num_workers', -1),
        ('train_cfg.max_epochs', 0),
        ('train_cfg.val_interval', 0),
    ],
)
def test_a_number_out_of_range_is_named(key, value):
    cfg = make_config(**{key.replace('.', '__'): value})
    with pytest.raises(ValueError, match=f'{key} is {value}, expected an int'):
        check_run_settings(cfg, ('train',))
    assert check_run_settings(cfg, ('test',)) is None

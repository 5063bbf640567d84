import numpy as np
import pytest
from mmpose.datasets import CocoDataset
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from swahr_mmpose.checkpoints.meta import select_meta


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('epoch', '/home/someone'),
        ('epoch', True),
        ('time', 'TOKEN=abc'),
        ('mmengine_version', '0.10 {{$TOKEN:}}'),
        ('source', '/home/someone/a.pth'),
        ('iter', dict(host='somewhere')),
        ('dataset_meta', ['/home/someone']),
        ('cfg', 'data_root = 1'),
    ],
)
def test_a_key_with_another_value_is_left_out(key, value):
    assert select_meta({key: value}) == ({}, [key])


@pytest.mark.parametrize(
    'value', ['/data/me/coco', '{{$TOKEN:}}', 'a' * 101, 'a\nb', {'a': 1}]
)
def test_values_below_a_known_key_are_checked(value):
    kept, removed = select_meta(
        dict(
            dataset_meta=dict(dataset_name=value, num_keypoints=3),
            source=dict(file=value, layout='official'),
        )
    )
    assert kept == dict(
        dataset_meta=dict(num_keypoints=3), source=dict(layout='official')
    )
    assert removed == ['dataset_meta.dataset_name', 'source.file']


def test_numpy_values_become_built_in_ones():
    kept, _ = select_meta(
        dict(iter=np.int64(3), dataset_meta=dict(sigmas=np.array([0.5, 1])))
    )
    assert kept == dict(iter=3, dataset_meta=dict(sigmas=[0.5, 1.0]))
    assert type(kept['iter']) is int
    assert type(kept['dataset_meta']['sigmas'][0]) is float


def test_metainfo_of_mmpose_is_kept_completely():
    metainfo = parse_pose_metainfo(CocoDataset.METAINFO)
    kept, removed = select_meta(dict(dataset_meta=metainfo))
    assert removed == []
    assert kept['dataset_meta'].keys() == metainfo.keys()


def test_keypoint_names_are_kept_or_refused():
    names = {0: 'left/eye: "ø"'}
    kept, _ = select_meta(dict(dataset_meta=dict(keypoint_id2name=names)))
    assert kept['dataset_meta']['keypoint_id2name'] == names
    names[0] = '{{$TOKEN:}}'
    with pytest.raises(ValueError, match='rename the keypoints'):
        select_meta(dict(dataset_meta=dict(keypoint_id2name=names)))


@pytest.mark.parametrize('meta', [None, 3, 'text', []])
def test_no_metadata_is_no_entry(meta):
    assert select_meta(meta) == ({}, [])


def test_shared_lists_do_not_expand():
    value = [0]
    for _ in range(60):
        value = [value] * 60
    with pytest.raises(ValueError, match='more than 1000000 values'):
        select_meta(dict(dataset_meta=dict(flip_pairs=value)))


def test_arrays_without_values_do_not_expand():
    sigmas = np.zeros((10**9, 0))
    with pytest.raises(ValueError, match='more than 1000000 values'):
        select_meta(dict(dataset_meta=dict(sigmas=sigmas)))

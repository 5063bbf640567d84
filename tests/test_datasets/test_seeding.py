import pickle

import numpy as np
from helpers.datasets import loader
from mmpose.registry import DATASETS

from swahr_mmpose import BottomupRandomSquareAffine, SeededSampler
from swahr_mmpose.datasets.seeding import SeededIndex, random_of


def test_an_index_takes_its_seed_to_the_worker():
    index = pickle.loads(pickle.dumps(SeededIndex(7, (1, 2, 7))))
    assert index == 7
    assert index.seed == (1, 2, 7)
    assert [0] * 7 + [1] == [0 if i != index else 1 for i in range(8)]


def test_the_order_is_that_of_mmengine():
    data = list(range(20))
    sampler = SeededSampler(data, seed=3)
    sampler.set_epoch(2)
    plain = super(SeededSampler, sampler).__iter__()
    assert list(sampler) == list(plain)
    assert {i.seed for i in sampler} == {(3, 2, i) for i in range(20)}


def draws(seed, sample):
    affine = BottomupRandomSquareAffine((64, 64))
    results = dict(sample_idx=SeededIndex(sample, (seed, 0, sample)))
    return affine.draw(60, 80, random_of(results))[0]


def test_augmentation_depends_on_seed_epoch_and_sample_alone():
    first = draws(0, 5)
    np.random.seed(123)
    np.testing.assert_array_equal(draws(0, 5), first)
    assert not np.array_equal(draws(0, 6), first)
    assert not np.array_equal(draws(1, 5), first)


def test_without_a_seed_numpy_is_drawn_from():
    assert random_of({}) is np.random
    assert random_of(dict(sample_idx=3)) is np.random


def pictures(folder, workers, epoch):  # noqa: F811
    """What training sees, by image."""
    pipeline = [
        dict(type='BottomupLoadImage'),
        dict(type='BottomupRandomSquareAffine', input_size=(64, 64)),
        dict(type='BottomupPackInputs'),
    ]
    batches = loader(folder, batch_size=2)
    dataset = DATASETS.build(
        dict(
            type='CocoDataset',
            data_root=str(folder),
            data_mode='bottomup',
            ann_file='people.json',
            data_prefix=dict(img=''),
            pipeline=pipeline,
        )
    )
    sampler = SeededSampler(dataset, seed=0)
    sampler.set_epoch(epoch)
    batches = type(batches)(
        dataset,
        batch_size=2,
        sampler=sampler,
        num_workers=workers,
        collate_fn=batches.collate_fn,
    )
    return {
        sample.img_id: image
        for batch in batches
        for image, sample in zip(batch['inputs'], batch['data_samples'])
    }


def test_pictures_do_not_depend_on_the_number_of_workers(folder):  # noqa: F811
    alone, helped = (pictures(folder, n, epoch=1) for n in (0, 2))
    assert alone.keys() == helped.keys()
    assert all((alone[i] == helped[i]).all() for i in alone)
    later = pictures(folder, 0, epoch=2)
    assert any((alone[i] != later[i]).any() for i in alone)


def test_data_sets_that_wrap_others_keep_the_seed():
    index = SeededIndex(7, (1, 2, 7))
    for changed, value in ((index % 5, 2), (index - 4, 3)):
        assert changed == value
        assert changed.seed == (1, 2, 7)

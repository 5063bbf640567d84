import pickle

import numpy as np

from swahr_mmpose import BottomupRandomSquareAffine
from swahr_mmpose.datasets.seeding import SeededIndex, get_rng


def test_an_index_is_pickled_with_its_seed():
    index = pickle.loads(pickle.dumps(SeededIndex(7, (1, 2, 7))))
    assert index == 7
    assert index.seed == (1, 2, 7)
    assert [0] * 7 + [1] == [0 if i != index else 1 for i in range(8)]


def draws(seed, sample):
    affine = BottomupRandomSquareAffine((64, 64))
    results = dict(sample_idx=SeededIndex(sample, (seed, 0, sample)))
    return affine.draw(60, 80, get_rng(results))[0]


def test_augmentation_depends_only_on_seed_epoch_and_sample():
    first = draws(0, 5)
    np.random.seed(123)
    np.testing.assert_array_equal(draws(0, 5), first)
    assert not np.array_equal(draws(0, 6), first)
    assert not np.array_equal(draws(1, 5), first)


def test_without_a_seed_the_generator_is_that_of_numpy():
    assert get_rng({}) is np.random
    assert get_rng(dict(sample_idx=3)) is np.random


def test_wrappers_of_datasets_keep_the_seed():
    index = SeededIndex(7, (1, 2, 7))
    for changed, value in ((index % 5, 2), (index - 4, 3)):
        assert changed == value
        assert changed.seed == (1, 2, 7)

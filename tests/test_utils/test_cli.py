"""Options and samples that several commands share."""

import argparse

import pytest

from swahr_mmpose.utils.cli import is_first_process, parse_count, read_samples

RANKS = ('RANK', 'OMPI_COMM_WORLD_RANK', 'SLURM_PROCID')


@pytest.mark.parametrize(
    ('variables', 'first'),
    [
        ({}, True),
        ({'RANK': '0'}, True),
        ({'RANK': '1'}, False),
        ({'SLURM_PROCID': '2'}, False),
        ({'OMPI_COMM_WORLD_RANK': '1'}, False),
        # mpirun in an allocation of Slurm: one task of Slurm, four processes.
        ({'OMPI_COMM_WORLD_RANK': '3', 'SLURM_PROCID': '0'}, False),
        ({'OMPI_COMM_WORLD_RANK': '0', 'SLURM_PROCID': '1'}, True),
        # torchrun, started by Slurm on two nodes.
        ({'RANK': '0', 'SLURM_PROCID': '1'}, True),
        ({'RANK': '5', 'SLURM_PROCID': '0'}, False),
    ],
)
def test_one_process_of_each_launcher_is_the_first(
    monkeypatch, variables, first
):
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == first


def test_a_number_of_images_is_at_least_one():
    assert parse_count('12') == 12
    for text in ('0', '-1', '1.5', '', 'all', '²'):
        with pytest.raises(argparse.ArgumentTypeError, match='1 or more'):
            parse_count(text)


@pytest.mark.parametrize(
    ('max_images', 'expected'),
    [(None, [5, 6, 7]), (2, [5, 6]), (9, [5, 6, 7])],
)
def test_the_first_samples_are_read(max_images, expected):
    assert list(read_samples([5, 6, 7], max_images)) == expected


def test_an_empty_split_ends_the_command():
    with pytest.raises(SystemExit, match='has no images; choose another'):
        list(read_samples([], None))


def test_a_sample_that_cannot_be_read_ends_the_command():
    class Dataset(list):
        def __getitem__(self, index):
            if index:
                raise FileNotFoundError('image b.jpg does not exist')
            return 'a'

    samples = read_samples(Dataset([0, 0]), None)
    assert next(samples) == 'a'
    with pytest.raises(SystemExit, match='error: image b.jpg does not exist'):
        next(samples)

"""Options and samples that several commands share."""

import argparse
import os
import re

import pytest
from mmengine.config import Config

from swahr_mmpose.utils.cli import (
    add_common_arguments,
    add_model_arguments,
    format_next_steps,
    load_config,
    make_parser,
    parse_count,
    read_samples,
)


@pytest.mark.parametrize(
    ('options', 'rank'), [([], '2'), (['--local_rank', '1'], '1')]
)
def test_downloads_are_of_one_process_per_machine_with_mpi(
    monkeypatch, options, rank
):
    monkeypatch.setenv('LOCAL_RANK', '')  # to be restored
    monkeypatch.delenv('LOCAL_RANK')
    monkeypatch.setenv('OMPI_COMM_WORLD_LOCAL_RANK', '2')
    parser = argparse.ArgumentParser()
    add_common_arguments(parser)
    load_config(parser.parse_args([*options, '--work-dir', 'x']), Config())
    assert os.environ['LOCAL_RANK'] == rank


@pytest.mark.parametrize(
    ('tested', 'own', 'titles'),
    [
        (True, False, ['without PyTorch', 'your own keypoints']),
        (False, True, ['metrics', 'without PyTorch']),
        (True, True, ['without PyTorch']),
    ],
)
def test_steps_that_are_done_are_not_next(tested, own, titles):
    header, *lines = format_next_steps('c.py', 'a.pth', tested, own)
    names = [re.split('  +', line.strip())[0] for line in lines]
    assert header == 'next:'
    assert names == ['your own image', *titles]


@pytest.mark.parametrize('words', ['{0} {1} --seed 3', '{0} --seed 3 {1}'])
def test_a_checkpoint_may_follow_options(tmp_path, words):
    parser = make_parser('Test.')
    add_model_arguments(parser)
    parser.add_argument('--seed')
    parser.check = parser.needs_torch = lambda args: False
    args = parser.parse_args(words.format('a.py', 'b.pth').split())
    assert (args.config, args.checkpoint, args.seed) == ('a.py', 'b.pth', '3')
    with pytest.raises(SystemExit):
        parser.parse_args(['a.py', '--seed', '3', 'b.pth', 'c.pth'])


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

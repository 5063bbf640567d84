"""Ranks are those of the launcher, before MMEngine sets its variables."""

import pytest

from swahr_mmpose.utils.launchers import (
    count_processes,
    get_local_rank,
    is_first_process,
    require_launcher,
)

NAMES = (
    'RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'OMPI_COMM_WORLD_RANK',
    'OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE', 'SLURM_PROCID',
    'SLURM_LOCALID', 'SLURM_NTASKS', 'SLURM_STEP_NUM_TASKS', 'MASTER_ADDR',
    'MASTER_PORT', 'SLURM_NODELIST',
)  # fmt: skip


@pytest.fixture
def start(monkeypatch):
    """Set the variables of a launcher, and no others."""

    def start(variables):
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return start


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
def test_one_process_of_each_launcher_is_the_first(start, variables, first):
    start(variables)
    assert is_first_process() == first


@pytest.mark.parametrize(
    ('variables', 'number'),
    [
        ({}, 1),
        ({'WORLD_SIZE': ''}, 1),
        ({'WORLD_SIZE': '8'}, 8),
        ({'OMPI_COMM_WORLD_SIZE': '4', 'SLURM_STEP_NUM_TASKS': '1'}, 4),
        # srun; then the batch script that calls it, one process.
        ({'SLURM_NTASKS': '8', 'SLURM_STEP_NUM_TASKS': '8'}, 8),
        ({'SLURM_NTASKS': '8', 'SLURM_PROCID': '0'}, 1),
        # torchrun, started by Slurm on two nodes.
        ({'WORLD_SIZE': '16', 'SLURM_STEP_NUM_TASKS': '2'}, 16),
    ],
)
def test_the_processes_of_each_launcher_are_counted(start, variables, number):
    start(variables)
    assert count_processes() == number


@pytest.mark.parametrize(
    ('variables', 'rank'),
    [
        ({}, 0),
        ({'LOCAL_RANK': '3', 'SLURM_LOCALID': '0'}, 3),
        ({'OMPI_COMM_WORLD_LOCAL_RANK': '2', 'SLURM_LOCALID': '0'}, 2),
        ({'SLURM_LOCALID': '1'}, 1),
    ],
)
def test_the_rank_on_a_machine_is_that_of_the_launcher(start, variables, rank):
    start(variables)
    assert get_local_rank() == rank


@pytest.mark.parametrize(
    ('launcher', 'tool', 'message'),
    [
        (
            'pytorch',
            'train',
            'not set: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT; start .*'
            'bash tools/dist_train.sh CONFIG GPUS',
        ),
        ('pytorch', 'test', 'bash tools/dist_test.sh CONFIG CHECKPOINT GPUS'),
        ('slurm', 'train', 'SLURM_NODELIST; .*bash tools/slurm_train.sh'),
        ('mpi', 'train', 'mpirun -np GPUS python tools/train.py CONFIG --la'),
    ],
)
def test_a_process_without_its_launcher_is_refused(
    start, launcher, tool, message
):
    start({})
    with pytest.raises(ValueError, match=message):
        require_launcher(launcher, tool)


def test_processes_of_a_launcher_are_accepted(start):
    start({})
    assert require_launcher('none', 'train') is None
    names = ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')
    start({name: '1' for name in names})
    assert require_launcher('pytorch', 'train') is None

# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Ranks and number of processes, from the variables of the launchers.

They are needed before MMEngine makes the process group. torchrun sets
``RANK``, ``LOCAL_RANK`` and ``WORLD_SIZE``; ``mpirun`` of Open MPI and Slurm's
``srun`` set variables of their own, which MMEngine copies later.
"""

from __future__ import annotations

import os
from typing import Tuple

__all__ = [
    'count_processes',
    'get_local_rank',
    'is_first_process',
    'require_launcher',
]

# Open MPI's go before Slurm's, which describe the nodes under mpirun.
_RANKS = ('RANK', 'OMPI_COMM_WORLD_RANK', 'SLURM_PROCID')
_LOCAL_RANKS = ('LOCAL_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK', 'SLURM_LOCALID')
# Variables that MMEngine and torch require of a launcher.
_REQUIRED = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    'mpi': ('OMPI_COMM_WORLD_LOCAL_RANK',),
}
_STARTERS = {
    'pytorch': 'torchrun, as `bash tools/dist_{0}.sh {1} GPUS` does',
    'slurm': 'srun, as `bash tools/slurm_{0}.sh` does',
    'mpi': 'mpirun: `mpirun -np GPUS python tools/{0}.py {1} --launcher mpi`',
}
# SLURM_NTASKS is that of the job: a batch script of eight tasks has it too,
# and is one process until it calls srun.
_SIZES = ('WORLD_SIZE', 'OMPI_COMM_WORLD_SIZE', 'SLURM_STEP_NUM_TASKS')


def is_first_process() -> bool:
    """Whether this process has rank 0, which runs checks and prints.

    Returns:
        bool: True without a launcher.
    """
    return _read_first(_RANKS, default=0) == 0


def get_local_rank() -> int:
    """Get the rank of this process on its machine.

    Returns:
        int: Rank; 0 without a launcher.
    """
    return _read_first(_LOCAL_RANKS, default=0)


def count_processes() -> int:
    """Count the processes that the launcher started, on all machines.

    Returns:
        int: Number of processes; 1 without a launcher.
    """
    return _read_first(_SIZES, default=1)


def require_launcher(launcher: str, tool: str) -> None:
    """Raise if this process was not started by a launcher.

    Args:
        launcher (str): Value of ``--launcher``; nothing is required for
            ``'none'``.
        tool (str): Tool in the remedy, ``'train'`` or ``'test'``.

    Raises:
        ValueError: If variables of the launcher are not set; names the
            command that starts all processes.
    """
    names = _REQUIRED.get(launcher, ())
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        models = 'CONFIG' if tool == 'train' else 'CONFIG CHECKPOINT'
        raise ValueError(
            f'--launcher {launcher} is for processes that it started, but '
            f'these variables are not set: {", ".join(missing)}; start all '
            f'processes with {_STARTERS[launcher].format(tool, models)}, or '
            'leave --launcher out for one process'
        )


def _read_first(names: Tuple[str, ...], default: int) -> int:
    """Read the first variable that is set and not empty."""
    values = (os.environ.get(name) for name in names)
    return int(next(filter(None, values), default))

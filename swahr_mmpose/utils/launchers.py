# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Ranks and number of processes, from the variables of the launchers.

They are needed before MMEngine makes the process group. torchrun sets
``RANK``, ``LOCAL_RANK`` and ``WORLD_SIZE``; ``mpirun`` of Open MPI and Slurm's
``srun`` set variables of their own, which MMEngine copies later.
"""

from __future__ import annotations

import os
from typing import Tuple

__all__ = ['count_processes', 'get_local_rank', 'is_first_process']

# Open MPI's go before Slurm's, which describe the nodes under mpirun.
_RANKS = ('RANK', 'OMPI_COMM_WORLD_RANK', 'SLURM_PROCID')
_LOCAL_RANKS = ('LOCAL_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK', 'SLURM_LOCALID')
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


def _read_first(names: Tuple[str, ...], default: int) -> int:
    """Read the first variable that is set and not empty."""
    values = (os.environ.get(name) for name in names)
    return int(next(filter(None, values), default))

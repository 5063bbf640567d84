import random
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import GOLDEN, SHARED
from hypothesis import Phase, settings

import swahr_mmpose  # noqa: F401  (registers everything)

# For mutation testing: the same inputs each time, no search for a smaller one
# that fails, and what is fast first.
settings.register_profile(
    'mutation', derandomize=True, phases=[Phase.explicit, Phase.generate]
)


def pytest_configure():
    # A script starts its background jobs with SIGINT ignored; processes that
    # tests start and interrupt would inherit this.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    if config.getoption('--hypothesis-profile') == 'mutation':
        items.sort(key=lambda i: hasattr(i.function, 'hypothesis'))


@pytest.fixture(autouse=True)
def _seed():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def shared():
    """The folder of reference arrays and real images, or skip."""
    if not SHARED.exists():
        pytest.skip(f'{SHARED} is not here')
    return SHARED


@pytest.fixture(scope='session')
def synthetic(tmp_path_factory):
    """A small synthetic dataset."""
    from swahr_mmpose.datasets.synthetic import make_synthetic_dataset

    folder = tmp_path_factory.mktemp('data') / 'synthetic'
    make_synthetic_dataset(
        folder, num_train=8, num_val=6, image_size=(160, 128), max_height=120
    )
    return folder


@pytest.fixture(scope='session')
def golden():
    """Load a file of tests/golden, or the larger one of a developer."""

    def load(name, key=None):
        for folder in (GOLDEN, SHARED / 'golden'):
            if (folder / name).exists():
                archive = np.load(folder / name)
                if key is None or key in archive:
                    return archive
        pytest.skip(f'{name} with {key} is not here')

    return load


@pytest.fixture
def official(golden):
    """A complete state dict of the official SWAHR, a small one."""
    archive, prefix = golden('model.npz'), 'k17/state_dict/'
    return {
        key[len(prefix) :]: torch.from_numpy(archive[key].copy())
        for key in archive
        if key.startswith(prefix)
    }


@pytest.fixture
def run_python():
    """Run a program in a new interpreter; returns what it printed."""

    def run(program):
        done = subprocess.run(
            [sys.executable, '-c', program],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr

    return run

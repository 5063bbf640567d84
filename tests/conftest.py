import os
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import Phase, settings

import swahr_mmpose  # noqa: F401  (registers everything)

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / 'tests/golden'
# OpenCV 5 interpolates between all positions, 4 between those of 1/32 pixel.
OPENCV_5 = cv2.__version__ >= '5'
like_opencv_4 = pytest.mark.skipif(
    OPENCV_5, reason='OpenCV 5 resizes by other positions'
)
# Larger reference arrays and real images, where a developer has them.
SHARED = Path(os.environ.get('SWAHR_SHARED', ROOT.parent / 'shared'))

# For mutation testing: the same inputs each time, no search for a smaller one
# that fails, and what is fast first.
settings.register_profile(
    'mutation', derandomize=True, phases=[Phase.explicit, Phase.generate]
)


def pytest_collection_modifyitems(config, items):
    if config.getoption('--hypothesis-profile') == 'mutation':
        items.sort(key=lambda i: hasattr(i.function, 'hypothesis'))


@pytest.fixture(autouse=True)
def _seed():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def assert_image_is_official(image, official):
    """Equal with OpenCV 4, with which the official images were made."""
    if OPENCV_5:
        difference = np.abs(image.astype(int) - official)
        assert difference.max() <= 8
        assert difference.mean() < 0.5
    else:
        np.testing.assert_array_equal(image, official)


def assert_mask_is_official(mask, official):
    """As for images; at the edge some cells are in doubt."""
    assert mask.shape == official.shape
    assert np.mean(mask != official) <= (5e-4 if OPENCV_5 else 0)


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


@pytest.fixture(scope='session')
def shared():
    """The folder of reference arrays and real images, or skip."""
    if not SHARED.exists():
        pytest.skip(f'{SHARED} is not here')
    return SHARED


@pytest.fixture(scope='session')
def synthetic(tmp_path_factory):
    """A small synthetic data set."""
    from swahr_mmpose.synthetic import make_synthetic_dataset

    folder = tmp_path_factory.mktemp('data') / 'synthetic'
    make_synthetic_dataset(
        folder, num_train=8, num_val=6, image_size=(160, 128), max_height=120
    )
    return folder


@pytest.fixture
def official(golden):
    """A complete state dict of the official SWAHR, a small one."""
    archive, prefix = golden('model.npz'), 'k17/state_dict/'
    return {
        key[len(prefix) :]: torch.from_numpy(archive[key].copy())
        for key in archive
        if key.startswith(prefix)
    }

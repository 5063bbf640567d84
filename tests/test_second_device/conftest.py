import pytest
from helpers.second_device import SecondDevice


@pytest.fixture
def device():
    """A device without float64, as Apple's; a GPU has more."""
    with SecondDevice(float64=False) as device:
        yield device

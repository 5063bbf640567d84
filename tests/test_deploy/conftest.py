import pytest
import torch
from helpers.deploy import Stem, export, make_lively
from helpers.models import make_model


@pytest.fixture(scope='session')
def model():
    """Model that detects people in images."""
    torch.manual_seed(0)
    model = make_model()
    model.backbone = Stem().eval()
    return make_lively(model)


@pytest.fixture(scope='session')
def inside(model, tmp_path_factory):
    """File of the model, flip test and fusion in the graph."""
    pytest.importorskip('onnx')
    return export(tmp_path_factory.mktemp('inside'), model)


@pytest.fixture(scope='session')
def outside(model, tmp_path_factory):
    """File of the model, flip test and fusion by the runtime."""
    pytest.importorskip('onnx')
    folder = tmp_path_factory.mktemp('outside')
    return export(folder, model, fused=False)

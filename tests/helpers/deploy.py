"""Small models to export, and comparison of their people."""

import cv2
import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from helpers.models import make_batch


def config_of(num_keypoints=17, **resize):
    """Make the part of a config that the export reads."""
    step = dict(type='BottomupPyramidResize', input_size=(64, 64), **resize)
    kind = {17: 'CocoDataset', 14: 'CrowdPoseDataset'}[num_keypoints]
    dataset = dict(type=kind, pipeline=[step])
    return Config(dict(test_dataloader=dict(dataset=dataset)))


class Stem(nn.Sequential):
    """Backbone that is exported in a second."""

    def __init__(self):
        layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)]
        super().__init__(layers[0], nn.BatchNorm2d(8), nn.ReLU(), layers[1])

    def forward(self, images):
        return (super().forward(images),)


def make_lively(model):
    """Initialize a model to detect people in images, and none in black areas.

    There all cells are equal, and rounding would decide which are peaks.
    """
    torch.manual_seed(3)
    model.eval()
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    black = (-mean / std).expand(1, 3, 64, 64)
    with torch.no_grad():
        for layer in model.head.final_layers:
            layer.weight.normal_(0, 1)
        for level, layer in enumerate(model.head.final_layers):
            maps = model.head(model.extract_feat(black)).heatmaps[level]
            layer.bias[:17] -= maps[0].amax(dim=(1, 2)) + 0.02
        for branch in model.head.scale_layers:
            nn.init.normal_(list(branch.children())[-1].weight)
    return model


def export(folder, model, num_keypoints=17, fused=True):
    """Export a model to a file; return its path."""
    from swahr_mmpose.deploy import onnx_export

    cfg = config_of(num_keypoints)
    settings = onnx_export.build_settings(cfg, model, fused)
    path = str(folder / f'{num_keypoints}_{fused}.onnx')
    onnx_export.export_model(model, settings, path, opset=18)
    return path


def make_image(size=(75, 50)):
    """Make a smooth image: few peaks, none of which depends on rounding."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)


def assert_same(poses, result, atol=1e-2):
    """Compare people of the runtime with a result of the model."""
    expected = result.pred_instances
    assert poses.keypoints.shape == expected.keypoints.shape
    for ours, theirs, limit in (
        (poses.keypoints, expected.keypoints, atol),
        (poses.keypoint_scores, expected.keypoint_scores, 1e-4),
        (poses.scores, expected.bbox_scores, 1e-4),
    ):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit)


def torch_people(model, image, side=64, num_keypoints=17):
    """Run the PyTorch model on an image."""
    with torch.no_grad():
        batch = make_batch(image, side, num_keypoints=num_keypoints)
        return model.test_step(batch)[0]

"""Evaluation of exported models: images are read as the pipeline does."""

import copy

import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.evaluator import BaseMetric
from mmengine.registry import init_default_scope
from mmpose.structures import PoseDataSample
from PIL import Image

from swahr_mmpose.commands.evaluate_onnx import (
    evaluate,
    refuse_other_keypoints,
)


class CountMetric(BaseMetric):
    """Count the images."""

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(images=len(results))


class OneImage:
    """Dataset of one image file."""

    metainfo = dict()

    def __init__(self, path, loader):
        init_default_scope('mmpose')
        self.pipeline = Compose([loader])
        self.sample = PoseDataSample(metainfo=dict(img_path=path))

    def __len__(self):
        return 1

    def __getitem__(self, index):
        if index:
            raise IndexError
        return dict(data_samples=self.sample)


@pytest.mark.parametrize(
    ('loader', 'shape'),
    [
        (dict(type='BottomupLoadImage'), (60, 40)),
        (dict(type='BottomupLoadImage', ignore_orientation=True), (40, 60)),
        (dict(type='LoadImage'), (60, 40)),
        (
            dict(type='LoadImage', color_type='color_ignore_orientation'),
            (40, 60),
        ),
    ],
)
def test_both_models_get_the_image_that_the_pipeline_loads(
    tmp_path, loader, shape
):
    stored = Image.fromarray(np.zeros((40, 60, 3), np.uint8))
    exif = stored.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    path = str(tmp_path / 'a.jpg')
    stored.save(path, exif=exif)
    seen = []

    def predict(image, sample):
        seen.append(image.shape)
        return copy.deepcopy(sample['data_samples'])

    results = evaluate(
        dict(a=predict, b=predict), OneImage(path, loader), [CountMetric()]
    )
    assert seen == [(*shape, 3)] * 2
    assert results['a']['images'] == 1
    assert len(results['a']['ms']) == 3


METAINFO = dict(keypoint_id2name={1: 'chin', 0: 'nose'})


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['nose'], 'a.onnx has 1 keypoints, .* 2; keypoint 1 is None in'),
        (['nose', 'chin', 'ear'], "keypoint 2 is 'ear' in the model and None"),
        (['chin', 'nose'], "keypoint 0 is 'chin' in the model and 'nose' in"),
    ],
)
def test_a_model_of_other_keypoints_is_refused(names, message):
    assert refuse_other_keypoints(['nose', 'chin'], METAINFO, 'b') is None
    with pytest.raises(ValueError, match=message):
        refuse_other_keypoints(names, METAINFO, 'a.onnx')

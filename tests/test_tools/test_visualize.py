import argparse

import numpy as np
import pytest
from helpers.models import FLIPS, make_model
from mmengine.dataset import Compose
from PIL import Image

from swahr_mmpose.commands import visualize


class OneImage:
    """Dataset of one image file."""

    metainfo = dict(keypoint_name2id={}, skeleton_links=[])

    def __init__(self, path, ignore):
        self.path = path
        self.pipeline = Compose(
            [
                dict(type='BottomupLoadImage', ignore_orientation=ignore),
                dict(type='BottomupPyramidResize', input_size=(64, 64)),
                dict(type='BottomupPackInputs'),
            ]
        )

    def __getitem__(self, index):
        return self.pipeline(dict(img_path=self.path, flip_indices=FLIPS[17]))


@pytest.mark.parametrize('ignore', [False, True])
def test_poses_are_drawn_on_the_image_that_the_pipeline_loads(
    tmp_path, ignore
):
    stored = Image.fromarray(np.zeros((40, 60, 3), np.uint8))
    exif = stored.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    stored.save(tmp_path / 'a.jpg', exif=exif)
    model = make_model()
    args = argparse.Namespace(score_thr=0.2, keypoint=None, draw_filled=False)
    dataset = OneImage(str(tmp_path / 'a.jpg'), ignore)
    name, figure = visualize.draw_people(model, dataset, 0, args)
    assert name == 'a'
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == ((40, 60, 3) if ignore else (60, 40, 3))

import json

import cv2
import numpy as np
import pytest
from helpers.datasets import IMAGE_SIZES


@pytest.fixture
def folder(tmp_path):
    """Folder of images of IMAGE_SIZES; all but the first show a person."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for n, (width, height) in enumerate(IMAGE_SIZES):
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'{n}.png'), image)
        name = f'{n}.png'
        size = dict(width=width, height=height)
        images.append(dict(id=n + 10, file_name=name, **size))
        keypoints = [20.0, 30.0, 2] * 17
        annotations.append(
            dict(
                id=n,
                image_id=n + 10,
                category_id=1,
                keypoints=keypoints,
                num_keypoints=17,
                bbox=[5, 5, 40, 40],
                area=1600,
                iscrowd=0,
            )
        )
    categories = [dict(id=1, name='person')]
    content = dict(
        images=images, annotations=annotations[1:], categories=categories
    )
    (tmp_path / 'people.json').write_text(json.dumps(content))
    return tmp_path

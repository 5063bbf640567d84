import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from test_estimator import make_model

from swahr_mmpose import EqualSizeBatchSampler

# Two sizes become the same one.
SIZES = [(64, 64), (80, 60), (90, 60), (64, 64), (64, 64), (81, 60), (60, 90)]


@pytest.fixture
def folder(tmp_path):
    """Pictures of the given sizes, one person in each but the first."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for n, (width, height) in enumerate(SIZES):
        picture = rng.integers(0, 256, (height, width, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'{n}.png'), picture)
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


def loader(folder, **kwargs):
    init_default_scope('mmpose')
    return Runner.build_dataloader(
        dict(
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(
                type='CocoDataset',
                data_root=str(folder),
                data_mode='bottomup',
                test_mode=True,
                ann_file='people.json',
                data_prefix=dict(img=''),
                pipeline=[
                    dict(type='BottomupLoadImage'),
                    dict(type='BottomupPyramidResize', input_size=(64, 64)),
                    dict(type='BottomupPackInputs'),
                ],
            ),
            **kwargs,
        )
    )


def equal_size_loader(folder, size, **kwargs):
    sampler = dict(type='EqualSizeBatchSampler', **kwargs)
    return loader(folder, batch_size=size, batch_sampler=sampler)


def test_every_image_comes_once_in_batches_of_one_size(folder):
    for size in (1, 2, 3, 20):
        batches = list(equal_size_loader(folder, size))
        assert len(batches) == len(equal_size_loader(folder, size))
        ids = [s.img_id for b in batches for s in b['data_samples']]
        assert sorted(ids) == [n + 10 for n in range(len(SIZES))]
        assert max(len(b['inputs']) for b in batches) == min(size, 3)
        for batch in batches:
            assert len({tuple(image.shape) for image in batch['inputs']}) == 1


def test_batches_that_are_not_full_can_be_dropped(folder):
    batches = list(equal_size_loader(folder, 2, drop_last=True))
    assert len(batches) == len(equal_size_loader(folder, 2, drop_last=True))
    assert {len(b['inputs']) for b in batches} == {2}


@torch.no_grad()
def test_predictions_do_not_depend_on_the_batch(folder):
    model = make_model()
    model.test_cfg.update(output_heatmaps=True)
    results = []
    for batches in (
        loader(folder, batch_size=1),
        equal_size_loader(folder, 3),
    ):
        found = {}
        for batch in batches:
            for sample in model.test_step(batch):
                found[sample.img_id] = sample.pred_fields.heatmaps
        results.append(found)
    assert len(results[0]) == len(SIZES)
    for image, heatmaps in results[0].items():
        assert heatmaps.std() > 0
        torch.testing.assert_close(results[1][image], heatmaps)


def test_images_of_a_data_set_stay_as_they_are_stored(folder):
    path = folder / '1.png'
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image.save(path, format='JPEG', exif=exif)
    samples = [s for b in loader(folder) for s in b['data_samples']]
    for sample in samples:
        assert sample.ori_shape == SIZES[sample.img_id - 10][::-1]
    assert len(samples) == len(SIZES)


def test_what_cannot_be_batched_says_why(folder):
    path = folder / 'people.json'
    content = json.loads(path.read_text())
    del content['images'][0]['width']
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='image 10, have no width'):
        equal_size_loader(folder, 2)
    with pytest.raises(ValueError, match='wants a COCO-style data set'):
        EqualSizeBatchSampler(torch.utils.data.SequentialSampler([1, 2]), 2)
    with pytest.raises(ValueError, match='must be positive'):
        EqualSizeBatchSampler(None, 0)

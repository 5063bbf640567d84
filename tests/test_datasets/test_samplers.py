import json

import pytest
import torch
from helpers.datasets import IMAGE_SIZES, loader
from helpers.models import make_model
from PIL import Image

from swahr_mmpose import EqualSizeBatchSampler


def equal_size_loader(folder, size, **kwargs):
    sampler = dict(type='EqualSizeBatchSampler', **kwargs)
    return loader(folder, batch_size=size, batch_sampler=sampler)


def test_every_image_comes_once_in_batches_of_one_size(folder):
    for size in (1, 2, 3, 20):
        batches = list(equal_size_loader(folder, size))
        assert len(batches) == len(equal_size_loader(folder, size))
        ids = [s.img_id for b in batches for s in b['data_samples']]
        assert sorted(ids) == [n + 10 for n in range(len(IMAGE_SIZES))]
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
    assert len(results[0]) == len(IMAGE_SIZES)
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
        assert sample.ori_shape == IMAGE_SIZES[sample.img_id - 10][::-1]
    assert len(samples) == len(IMAGE_SIZES)


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

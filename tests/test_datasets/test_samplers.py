import json
from itertools import chain, zip_longest

import pytest
import torch
from helpers.datasets import IMAGE_SIZES, loader
from helpers.models import make_model
from mmengine.dataset import DefaultSampler
from mmpose.registry import DATASETS

from swahr_mmpose import EqualSizeBatchSampler, SeededSampler


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


@pytest.mark.parametrize('shuffle', [False, True])
@pytest.mark.parametrize('round_up', [False, True])
@pytest.mark.parametrize('processes', [2, 3, 5, 9])
def test_several_processes_load_every_image_once(
    folder, monkeypatch, processes, round_up, shuffle
):
    dataset = loader(folder, batch_size=1).dataset
    loaded = []
    for rank in range(processes):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info',
            lambda rank=rank: (rank, processes),
        )
        sampler = DefaultSampler(dataset, shuffle, 0, round_up)
        batches = EqualSizeBatchSampler(sampler, 2)
        loaded.append(list(chain.from_iterable(batches)))
        assert len(batches) == len(list(batches))
    # MMEngine interleaves the results and cuts them at the number of images.
    joined = [i for row in zip_longest(*loaded) for i in row if i is not None]
    assert sorted(joined[: len(dataset)]) == list(range(len(dataset)))


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
        by_image = {}
        for batch in batches:
            for sample in model.test_step(batch):
                by_image[sample.img_id] = sample.pred_fields.heatmaps
        results.append(by_image)
    assert len(results[0]) == len(IMAGE_SIZES)
    for image, heatmaps in results[0].items():
        assert heatmaps.std() > 0
        torch.testing.assert_close(results[1][image], heatmaps)


def test_errors_of_datasets_that_cannot_be_batched(folder):
    path = folder / 'people.json'
    content = json.loads(path.read_text())
    del content['images'][0]['width']
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='image 10, have no width'):
        equal_size_loader(folder, 2)
    with pytest.raises(ValueError, match='expected a COCO-style dataset'):
        EqualSizeBatchSampler(torch.utils.data.SequentialSampler([1, 2]), 2)
    with pytest.raises(ValueError, match='must be at least 1'):
        EqualSizeBatchSampler(None, 0)


def test_the_seeded_order_is_that_of_mmengine():
    data = list(range(20))
    sampler = SeededSampler(data, seed=3)
    sampler.set_epoch(2)
    plain = super(SeededSampler, sampler).__iter__()
    assert list(sampler) == list(plain)
    assert {i.seed for i in sampler} == {(3, 2, i) for i in range(20)}


def load_augmented(folder, workers, epoch):
    """Augmented images by image id."""
    pipeline = [
        dict(type='BottomupLoadImage'),
        dict(type='BottomupRandomSquareAffine', input_size=(64, 64)),
        dict(type='BottomupPackInputs'),
    ]
    batches = loader(folder, batch_size=2)
    dataset = DATASETS.build(
        dict(
            type='CocoDataset',
            data_root=str(folder),
            data_mode='bottomup',
            ann_file='people.json',
            data_prefix=dict(img=''),
            pipeline=pipeline,
        )
    )
    sampler = SeededSampler(dataset, seed=0)
    sampler.set_epoch(epoch)
    batches = type(batches)(
        dataset,
        batch_size=2,
        sampler=sampler,
        num_workers=workers,
        collate_fn=batches.collate_fn,
    )
    return {
        sample.img_id: image
        for batch in batches
        for image, sample in zip(batch['inputs'], batch['data_samples'])
    }


def test_augmentation_does_not_depend_on_the_number_of_workers(folder):
    serial, parallel = (load_augmented(folder, n, epoch=1) for n in (0, 2))
    assert serial.keys() == parallel.keys()
    assert all((serial[i] == parallel[i]).all() for i in serial)
    later = load_augmented(folder, 0, epoch=2)
    assert any((serial[i] != later[i]).any() for i in serial)

import json

import pytest

from swahr_mmpose.datasets.checks.preflight import check_dataset


@pytest.fixture(scope='session')
def larger(tmp_path_factory):
    """A synthetic dataset with enough people for statistics."""
    from swahr_mmpose.datasets.synthetic import make_synthetic_dataset

    folder = tmp_path_factory.mktemp('data') / 'larger'
    make_synthetic_dataset(
        folder, num_train=2, num_val=16, image_size=(320, 256), max_height=220
    )
    return folder


class Dataset:
    """A copy of an annotation file, to change and check."""

    def __init__(self, source, folder):
        file = source / 'annotations/person_keypoints_val.json'
        self.content = json.loads(file.read_text())
        self.images = source / 'images/val'
        self.file = folder / 'people.json'

    @property
    def people(self):
        annotations = self.content['annotations']
        return [a for a in annotations if not a['iscrowd']]

    def check(self, **changes):
        self.file.write_text(json.dumps(self.content))
        options = dict(crowd_index=False, required=(), test_side=512)
        options.update(changes)
        return check_dataset(str(self.file), str(self.images), 17, **options)


@pytest.fixture
def dataset(larger, tmp_path):
    return Dataset(larger, tmp_path)

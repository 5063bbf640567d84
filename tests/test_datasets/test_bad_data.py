"""Invalid and unusual data: results of the check and of training.

Each case changes a dataset of three images with two people each.  It states
two outcomes: a part of the message of :func:`check_dataset` (``None``: the
input is valid), and the result of the dataset and the training pipeline:

* ``Trains``: samples are complete; numbers of samples and of people.
* ``Stops``: an error that names the file or the key.
* ``Elsewhere``: MMPose or a library raises first, often without a name, or
  crashes the process; the check must find the problem before.
"""

import contextlib
import json
import re
import subprocess
import sys
import zlib
from typing import NamedTuple, Optional

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT
from helpers.tools import make_small
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from PIL import Image

from swahr_mmpose.datasets.checks.preflight import check_dataset

W, H = 64, 48
LEAF = 'configs/coco/swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py'
NAN = float('nan')


class Trains(NamedTuple):
    samples: int = 3
    people: int = 6


class Stops(NamedTuple):
    message: str


class Elsewhere(NamedTuple):
    error: Optional[type]  # None: the process dies, or memory runs out


def noise(width=W, height=H, channels=3, dtype=np.uint8):
    shape = (height, width, channels)[: 2 if channels == 1 else 3]
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def make_person(number, image_id):
    keypoints = [[10.0 + n, 12.0 + n, 2] for n in range(17)]
    return dict(
        id=number,
        image_id=image_id,
        category_id=1,
        keypoints=sum(keypoints, []),
        num_keypoints=17,
        bbox=[5, 5, 40, 40],
        area=1600,
        iscrowd=0,
        segmentation=[[5, 5, 45, 5, 45, 45]],
    )


class Data:
    """A small valid dataset, and changes to it."""

    def __init__(self, folder):
        self.folder = folder
        self.images = folder / 'images'
        self.images.mkdir()
        self.text = None  # instead of the content
        records = []
        for n in (1, 2, 3):
            cv2.imwrite(str(self.images / f'{n}.jpg'), noise())
            name = f'{n}.jpg'
            records.append(dict(id=n, file_name=name, width=W, height=H))
        people = [make_person(n, 1 + n // 2) for n in range(6)]
        categories = [dict(id=1, name='person')]
        self.content = dict(
            images=records, annotations=people, categories=categories
        )

    @property
    def image(self):
        return self.content['images'][0]

    @property
    def person(self):
        return self.content['annotations'][0]

    @property
    def file(self):
        return self.images / '1.jpg'

    def write(self):
        text = self.text
        path = self.folder / 'people.json'
        path.write_text(json.dumps(self.content) if text is None else text)
        return path

    def set_image(self, width, height, name='1.png'):
        """Replace the first image by another one."""
        cv2.imwrite(str(self.images / name), noise(width, height))
        self.image.update(file_name=name, width=width, height=height)

    def save(self, image, name, **kwargs):
        """Replace the first image by a file written by Pillow."""
        image.save(self.images / name, **kwargs)
        self.image.update(file_name=name)


def person(**changes):
    return lambda data: data.person.update(changes)


def image(**changes):
    return lambda data: data.image.update(changes)


def without(record, key):
    return lambda data: getattr(data, record).pop(key)


def text(content):
    return lambda data: setattr(data, 'text', content)


def content(**changes):
    return lambda data: data.content.update(changes)


def crowd(**segmentation):
    """Make the first person a crowd region without keypoints."""
    return person(
        iscrowd=1,
        num_keypoints=0,
        keypoints=[0] * 51,
        segmentation=segmentation,
    )


def unlabelled(segmentation):
    """Remove the keypoints of the first person; set its segmentation."""
    return person(
        num_keypoints=0, keypoints=[0] * 51, segmentation=segmentation
    )


def file_of(change):
    """Change the bytes of the first image file."""
    return lambda d: d.file.write_bytes(change(d.file.read_bytes()))


def crowded(data):
    people = [make_person(n, 1) for n in range(10, 208)]
    data.content['annotations'] += people


def far_away(data):
    data.person['keypoints'][::3] = [
        -500.0 if n % 2 else 5e5 for n in range(17)
    ]


def rotated(size):
    """Set an EXIF rotation and the annotated (width, height)."""

    def change(data):
        exif = Image.Exif()
        exif[0x0112] = 6
        data.save(Image.fromarray(noise()), '1.jpg', exif=exif)
        data.image.update(width=size[0], height=size[1])

    return change


def of_16_bits(data):
    cv2.imwrite(str(data.images / '1.png'), noise(dtype=np.uint16) * 257)
    data.image.update(file_name='1.png')


def with_alpha(data):
    data.save(Image.fromarray(noise(channels=4)), '1.png')


def gray(data):
    data.save(Image.fromarray(noise(channels=1)), '1.jpg')


def cmyk(data):
    data.save(Image.fromarray(noise()).convert('CMYK'), '1.jpg')


def palette(data):
    data.save(Image.fromarray(noise()).convert('P'), '1.png')


def tga(data):
    data.save(Image.fromarray(noise()), '1.tga')


def mislabelled(data):
    (data.images / '1.jpg').rename(data.images / '1.png')
    data.image.update(file_name='1.png')


def bomb(data):
    """Write a header of 64 gigapixels."""
    data.save(Image.fromarray(noise()), '1.png')
    path = data.images / '1.png'
    raw = bytearray(path.read_bytes())
    raw[16:24] = (256000).to_bytes(4, 'big') * 2
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, 'big')
    path.write_bytes(raw)


def outside(name):
    def change(data):
        target = data.folder / 'secret.jpg'
        target.write_bytes(data.file.read_bytes())
        data.image['file_name'] = name.format(folder=data.folder)

    return change


def repeat(key):
    """Give the second record of a list the id of the first."""

    def change(data):
        data.content[key][1]['id'] = data.content[key][0]['id']

    return change


ALL = Trains()
# By problem: change of the data, message of the check, result of training.
BAD = {
    # the annotation file
    'empty file': (text(''), 'people.json is empty', Elsewhere(ValueError)),
    'not JSON': (
        text('<html>404</html>'),
        'people.json is not valid JSON .* download it again',
        Elsewhere(ValueError),
    ),
    'cut JSON': (
        text('{"images": [{"id": 1, "fi'),
        'people.json is not valid JSON',
        Elsewhere(ValueError),
    ),
    'a list instead of an object': (
        text('[]'),
        'has no list "images"; is it a COCO',
        Elsewhere(AssertionError),
    ),
    'images are no list': (
        content(images={'1': {}}),
        '"images" of the annotation file is .* expected a list',
        Elsewhere(TypeError),
    ),
    'a record that is none': (
        lambda d: d.content['annotations'].append(None),
        r'annotations\[6\] is None, expected \{"id"',
        Elsewhere(TypeError),
    ),
    'no annotations': (
        content(annotations=[]),
        'has no annotations',
        Elsewhere(ValueError),
    ),
    'no categories': (
        lambda d: d.content.pop('categories'),
        'has no list "categories"',
        ALL,
    ),
    'people are of category 0': (
        content(categories=[dict(id=0, name='person')]),
        'has no category with id 1',
        ALL,
    ),
    # records of images
    'image id twice': (
        repeat('images'),
        'image id 1 occurs 2 times',
        Trains(2, 4),  # people of the lost image are skipped
    ),
    'image without id': (
        without('image', 'id'),
        'image None has no id',
        Elsewhere(KeyError),
    ),
    'image id is text': (
        image(id='one'),
        r"image one has the id 'one' \(text\), expected an integer",
        Elsewhere(TypeError),
    ),
    'image without file_name': (
        without('image', 'file_name'),
        'image 1 has no file_name',
        Elsewhere(KeyError),
    ),
    'image without size': (
        without('image', 'width'),
        'image 1 has no width',
        Elsewhere(KeyError),
    ),
    'image of size 0': (
        image(width=0, height=-48),
        'image 1 has width 0 and height -48, expected positive integers',
        ALL,
    ),
    'annotated as stored, read upright': (
        rotated(size=(W, H)),
        'has EXIF orientation 6: it is 64 x 48 as stored and 48 x 64 upright'
        '.*has the stored size.*set ignore_orientation=True in Bottomup',
        ALL,
    ),
    'width and height swapped': (
        image(width=H, height=W),
        '1.jpg is 64 x 48, expected 48 x 64 .*: width and height are swapped',
        ALL,
    ),
    'path up to the root': (
        image(file_name='../../../../../../../../etc/passwd'),
        "image 1 has the file_name '.*', which leaves the image folder",
        Stops('/etc/passwd .* is not an image file'),
    ),
    'path to an image above the root': (
        outside('../secret.jpg'),
        'which leaves the image folder; expected a relative path',
        ALL,  # training would read it
    ),
    'absolute path': (
        outside('{folder}/secret.jpg'),
        'which leaves the image folder; expected a relative path',
        ALL,
    ),
    'path of Windows': (
        image(file_name='..\\secret.jpg'),
        'which leaves the image folder',
        Stops(r'\.\.\\secret.jpg does not exist'),
    ),
    'URL': (
        image(file_name='https://example.invalid/1.jpg'),
        'which leaves the image folder',
        Elsewhere(KeyError),  # with an empty data_prefix: it is fetched
    ),
    'file_name with a zero byte': (
        image(file_name='1.jpg\0'),
        'which leaves the image folder',
        Elsewhere(ValueError),
    ),
    # files of images
    'missing image': (
        lambda d: d.file.unlink(),
        '1 image file: .*images/1.jpg does not exist',
        Stops('images/1.jpg does not exist; check data_root'),
    ),
    'empty image': (
        file_of(lambda raw: b''),
        'images/1.jpg is empty',
        Stops(r'images/1.jpg \(0 bytes\) is not a complete image'),
    ),
    'truncated image': (
        file_of(lambda raw: raw[: len(raw) // 2]),
        'images/1.jpg is truncated',
        Stops('images/1.jpg .* is not a complete image'),
    ),
    'web page instead of an image': (
        file_of(lambda raw: b'<html>' + b'not found ' * 99),
        'images/1.jpg is not an image file',
        Stops('images/1.jpg .* is not an image file: its first bytes'),
    ),
    'TGA': (
        tga,
        'images/1.tga is a TGA file, which OpenCV cannot read',
        Stops('images/1.tga .* is a TGA file, expected .*; convert it'),
    ),
    'too many pixels': (
        bomb,
        'images/1.png has more than .* million pixels',
        Stops('images/1.png .* is not a complete image'),
    ),
    '20000 x 10': (
        lambda d: d.set_image(20000, 10),
        'image 1 has size 20000x10 .* resized to 1024000x512 for testing',
        ALL,
    ),
    # records of people
    'wrong K': (
        person(keypoints=[9.0, 9.0, 2] * 14),
        'has 42 numbers in keypoints, expected 51',
        Elsewhere(ValueError),
    ),
    'K is no multiple of 3': (
        person(keypoints=[9.0] * 50),
        'has 50 numbers in keypoints, expected 51',
        Elsewhere(ValueError),
    ),
    'no keypoints': (
        without('person', 'keypoints'),
        'annotation 0 of image 1 has no keypoints',
        Trains(3, 5),
    ),
    'keypoints of NaN': (
        person(keypoints=[NAN, NAN, 2] * 17),
        'has values in keypoints that are not finite',
        ALL,
    ),
    'infinite keypoints': (
        person(keypoints=[float('inf'), -1e300, 2] * 17),
        'has values in keypoints that are not finite',
        ALL,
    ),
    'keypoints of text': (
        person(keypoints=['x'] * 51),
        r"has 'x' \(text\) in keypoints, expected numbers",
        Elsewhere(ValueError),
    ),
    'no bbox': (
        without('person', 'bbox'),
        'annotation 0 of image 1 has no bbox',
        Trains(3, 5),
    ),
    'negative box': (
        person(bbox=[30, 30, -10, -20]),
        r'bbox of negative size, \[30, 30, -10, -20\], expected \(x, y, w, h',
        ALL,
    ),
    'box of NaN': (
        person(bbox=[NAN, 1, 2, 3]),
        'has values in bbox that are not finite',
        ALL,
    ),
    'box of three numbers': (
        person(bbox=[1, 2, 3]),
        'has 3 numbers in bbox, expected 4',
        Elsewhere(ValueError),
    ),
    'area of text': (
        person(area='large'),
        r"has the area 'large' \(text\), expected 0 or more",
        Elsewhere(ValueError),
    ),
    'annotation id twice': (
        repeat('annotations'),
        'annotation id 0 occurs 2 times',
        ALL,  # one person twice, the other not at all
    ),
    'annotation without id': (
        without('person', 'id'),
        'annotation None of image 1 has no id',
        Elsewhere(KeyError),
    ),
    'annotation of no image': (
        person(image_id=99),
        'annotation 0 of image 99 has an image_id that is not in "images"',
        Trains(3, 5),
    ),
    'annotation without category': (
        without('person', 'category_id'),
        'has no category_id',
        Elsewhere(KeyError),
    ),
    'another category': (
        person(category_id=18),
        'has category_id 18, expected 1 for people',
        ALL,
    ),
    # masks; decoded only of people without labelled keypoints
    'RLE of the wrong size': (
        crowd(size=[W, H], counts=[0, W * H]),
        r'mask of size \[64, 48\], expected \[48, 64\] \(height, width\)',
        Stops(r'1.jpg: .*annotation 0 of image 1: .* has size \[64, 48\]'),
    ),
    'RLE that is too short': (
        crowd(size=[H, W], counts=[10, 20]),
        'mask whose counts add up to 30 pixels, expected 3072',
        Stops('1.jpg: .*annotation 0 of image 1: .* add up to 30 pixels'),
    ),
    'RLE that is too long': (
        crowd(size=[H, W], counts=[10, 20000]),
        'mask whose counts add up to 20010 pixels, expected 3072',
        Stops('1.jpg: .*annotation 0 of image 1: .*run length 20000'),
    ),
    'compressed RLE of nonsense': (
        crowd(size=[H, W], counts='abc'),
        'mask whose counts add up to .* pixels, expected 3072',
        Stops('1.jpg: a segmentation cannot be decoded .*compressed counts'),
    ),
    'RLE without counts': (
        crowd(size=[H, W]),
        'has an RLE mask without size or counts',
        Stops('1.jpg: a segmentation cannot be decoded .*has counts of type'),
    ),
    'polygon of two points': (
        unlabelled([[1, 2, 3, 4]]),
        'neither an RLE mask nor a list of polygons with at least',
        Stops('1.jpg: a segmentation cannot be decoded'),
    ),
    'polygon of one list': (
        unlabelled([1, 2, 30, 4, 5, 60]),
        'neither an RLE mask nor a list of polygons',
        Stops('1.jpg: a segmentation cannot be decoded'),
    ),
    'polygon with null': (
        unlabelled([[1, 2, 3, 4, 5, None]]),
        'neither an RLE mask nor a list of polygons',
        Elsewhere(None),  # pycocotools crashes
    ),
    'polygon to the moon': (
        unlabelled([[0, 0, 1e9, 0, 0, 1e9]]),
        'neither an RLE mask nor a list of polygons',
        Elsewhere(None),
    ),
}
# Valid, if unusual: the check passes, and training runs.
LEGAL = {
    'unchanged': (lambda d: None, ALL),
    'no segmentation': (without('person', 'segmentation'), ALL),
    'segmentation is null': (person(segmentation=None), ALL),
    'an empty segmentation': (person(segmentation=[]), ALL),
    'no area': (without('person', 'area'), ALL),
    'no iscrowd': (without('person', 'iscrowd'), ALL),
    'no num_keypoints': (without('person', 'num_keypoints'), ALL),
    'a crowd': (
        crowd(size=[H, W], counts=[10, 1000, H * W - 1010]),
        Trains(3, 5),
    ),
    'a compressed crowd': (crowd(size=[H, W], counts=':Xo0^P2'), Trains(3, 5)),
    'unlabelled keypoints of NaN': (
        person(keypoints=[10.0, 12.0, 2] * 9 + [NAN, NAN, 0] * 8),
        ALL,
    ),
    'people without keypoints': (unlabelled([[1, 1, 20, 1, 20, 20]]), ALL),
    'box of no width': (person(bbox=[5, 5, 0, 40]), ALL),
    'people outside the image': (far_away, ALL),
    'box outside the image': (person(bbox=[-500, 900, 40, 40]), ALL),
    '200 people': (crowded, Trains(3, 6 + 198)),
    'image without people': (
        lambda d: d.content['annotations'].__delitem__(slice(2)),
        Trains(2, 4),
    ),
    '1x1 image': (lambda d: d.set_image(1, 1), ALL),
    '1 x 20 image': (lambda d: d.set_image(1, 20), ALL),
    'grayscale': (gray, ALL),
    'alpha': (with_alpha, ALL),
    'palette': (palette, ALL),
    'CMYK': (cmyk, ALL),
    '16-bit': (of_16_bits, ALL),
    'EXIF-rotated': (rotated(size=(H, W)), ALL),
    'a JPEG that is called PNG': (mislabelled, ALL),
    'a name in a subfolder': (
        lambda d: (
            (d.images / 'ä b').mkdir(),
            d.file.rename(d.images / 'ä b/1.jpg'),
            d.image.update(file_name='ä b/1.jpg'),
        ),
        ALL,
    ),
}
CASES = {
    **BAD,
    **{name: (change, None, after) for name, (change, after) in LEGAL.items()},
}


@pytest.fixture
def data(tmp_path):
    return Data(tmp_path)


def check(data, **changes):
    options = dict(crowd_index=False, required=(), test_side=512)
    options.update(changes)
    return check_dataset(str(data.write()), str(data.images), 17, **options)


def build(data):
    """Build the training dataset of a config with its own pipeline."""
    init_default_scope('mmpose')
    cfg = make_small(Config.fromfile(ROOT / LEAF).to_dict())
    dataset = cfg['train_dataloader']['dataset']
    assert dataset['data_mode'] == 'bottomup'
    dataset.update(
        data_root=str(data.folder),
        ann_file=data.write().name,
        data_prefix=dict(img='images'),
    )
    return DATASETS.build(dataset)


def assert_complete(sample):
    """Check a sample and return its number of people."""
    assert sample['inputs'].shape == (3, 64, 64)
    assert sample['inputs'].dtype == torch.uint8
    fields = sample['data_samples'].gt_fields
    shapes = [(17, 16, 16), (17, 32, 32)]
    assert [tuple(h.shape) for h in fields.heatmaps] == shapes
    assert all(h.isfinite().all() for h in fields.heatmaps)
    assert all(h.max() <= 1 for h in fields.heatmaps)
    masks = [tuple(m.shape) for m in fields.heatmap_mask]
    assert masks == [(16, 16), (32, 32)]
    labels = sample['data_samples'].gt_instance_labels
    people = len(labels.keypoint_indices)
    assert labels.keypoint_indices.shape == (people, 17, 2)
    cells = labels.keypoint_indices[..., 0]
    assert ((cells >= 0) & (cells < 16 * 16)).all()
    return people


def test_the_table_is_long():
    assert len(BAD) >= 25
    assert len(LEGAL) >= 20


@pytest.mark.parametrize('name', CASES)
def test_the_check_separates_invalid_from_unusual_data(data, name):
    change, message, _ = CASES[name]
    change(data)
    if message is None:
        counts = check(data)
        assert counts.images == 3
    else:
        with pytest.raises(ValueError, match=message) as error:
            check(data)
        assert re.search(
            '(?i)correct|set|download|expected JPEG|smaller', str(error.value)
        )


@pytest.mark.parametrize('name', CASES)
def test_a_sample_is_complete_or_the_error_has_a_name(data, name):
    change, message, after = CASES[name]
    change(data)
    if isinstance(after, Elsewhere):
        assert message is not None
        if after.error:
            with pytest.raises(after.error):
                list(build(data))
    elif isinstance(after, Stops):
        with pytest.raises((ValueError, OSError), match=after.message):
            list(build(data))
    else:
        samples = list(build(data))
        assert len(samples) == after.samples
        people = sum(assert_complete(sample) for sample in samples)
        assert people == after.people


def test_a_compressed_mask_is_read_as_pycocotools_does(data):
    from pycocotools import mask

    for seed in range(20):
        rng = np.random.default_rng(seed)
        area = np.asfortranarray(rng.random((H, W)) < rng.random(), np.uint8)
        counts = mask.encode(area)['counts'].decode()
        crowd(size=[H, W], counts=counts)(data)
        check(data)
        crowd(size=[H, W], counts=counts + '1')(data)
        with pytest.raises(ValueError, match='whose counts add up to'):
            check(data)


def test_unlabelled_keypoints_of_nan_are_those_of_zero(data):
    samples = []
    for value in (NAN, 0.0):
        data.person['keypoints'] = [10.0, 12.0, 2] * 9 + [value, value, 0] * 8
        np.random.seed(0)
        samples.append(build(data)[0]['data_samples'])
    first, second = samples
    for name in ('heatmaps', 'heatmap_mask'):
        pairs = zip(getattr(first.gt_fields, name), second.gt_fields.get(name))
        for one, other in pairs:
            assert torch.equal(one, other)
    assert torch.equal(
        first.gt_instance_labels.keypoint_indices,
        second.gt_instance_labels.keypoint_indices,
    )


def test_an_upright_annotation_of_a_rotated_file_gives_the_same_sample(data):
    image = noise(W, H)
    expected, got = [], []
    for operation, orientation, samples in (
        (None, 1, expected),
        (Image.Transpose.ROTATE_180, 3, got),
        (Image.Transpose.ROTATE_90, 6, got),
    ):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(image)
        if operation is not None:
            stored = stored.transpose(operation)
        data.save(stored, '1.png', exif=exif)
        check(data)
        np.random.seed(0)
        samples.append(build(data)[0])
    for sample in got:
        assert torch.equal(sample['inputs'], expected[0]['inputs'])


def test_a_training_set_may_have_images_of_any_shape(data):
    data.set_image(20000, 10)
    check(data, test_side=None)


def test_no_path_outside_the_folder_is_opened(data, monkeypatch):
    opened = []

    def inspect(sizes, ignore_orientation):
        opened.extend(sizes)
        return {}

    monkeypatch.setattr(
        'swahr_mmpose.datasets.checks.dataset_files.inspect_images', inspect
    )
    data.image['file_name'] = '../../etc/passwd'
    with pytest.raises(ValueError, match='leaves the image folder'):
        check(data)
    assert opened == [str(data.images / f'{n}.jpg') for n in (2, 3)]


VALUES = [
    None, True, -1, 0, 1, 1e300, NAN, 10**400, '', 'x', '\ud800', [], [[]],
    [None], {}, {'size': 5, 'counts': 'o' * 999 + '0'}, {'size': [H, W]},
    {'size': [H, W], 'counts': [NAN]}, {'size': [H, W], 'counts': 'o' * 999},
]  # fmt: skip


def test_the_check_never_raises_another_error(data):
    for key in ('images', 'annotations', 'categories'):
        records = data.content[key]
        for value in VALUES:
            data.content[key] = value
            try_check(data)
            data.content[key] = [*records, value]
            try_check(data)
        data.content[key] = records
        for name, good in list(records[0].items()):
            for value in VALUES:
                records[0][name] = value
                try_check(data)
            records[0][name] = good
    check(data)


def try_check(data):
    """Run the check; a ValueError is expected, others fail the test."""
    with contextlib.suppress(ValueError):
        check(data, crowd_index=True, required=('area',))


@pytest.mark.slow
def test_the_tool_finds_everything_in_one_pass(data):
    for change in (
        crowded,
        lambda d: (d.images / '2.jpg').unlink(),
        lambda d: d.set_image(20000, 10),
        lambda d: d.content['images'][2].update(file_name='/etc/passwd'),
        person(bbox=[1, 1, -2, 2], keypoints=[1] * 42),
        lambda d: d.content['annotations'][1].pop('bbox'),
        repeat('images'),
    ):
        change(data)
    for number in (3, 4, 5):
        data.content['annotations'][number].update(bbox=[1, 1, 2, -number])
    command = [
        sys.executable, 'tools/dataset_tools/check_dataset.py', data.write(),
        '--img-dir', data.images, '--max-shown', '2',
    ]  # fmt: skip
    done = subprocess.run(
        [str(c) for c in command], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ''
    for line in (
        r'people.json: 12 problem\(s\) of 8 kind\(s\)',
        r'  1 image: image id 1 occurs 2 times',
        r'  4 annotations: annotation 0 of image 1 has a bbox of negative',
        r'    annotation 3 of image 2 has a bbox of negative size',
        r'    ... and 2 more',
        r'  1 annotation: annotation 1 of image 1 has no bbox',
        r'  2 annotations: annotation 2 of image 2 has an image_id that is'
        ' not in',
        r'  1 annotation: annotation 0 of image 1 has 42 numbers',
        r"  1 image: image 3 has the file_name '/etc/passwd'",
        r'  1 image: image 1 has size 20000x10 .* resized to 1024000x512',
        r'  1 image file: .*/2.jpg does not exist',
    ):
        assert re.search(f'^(error: .*)?{line}', done.stderr, re.M), line

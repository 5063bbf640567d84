import copy
import json
import shutil

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmpose.registry import KEYPOINT_CODECS
from PIL import Image

from swahr_mmpose.datasets.checks.nested import has_own_metainfo
from swahr_mmpose.datasets.checks.preflight import (
    check_before_run,
    check_config,
    check_dataset,
)

LEAF = 'configs/coco/swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py'


@pytest.fixture
def content(synthetic):
    file = synthetic / 'annotations/person_keypoints_val.json'
    return json.loads(file.read_text())


def write(tmp_path, content):
    file = tmp_path / 'ann.json'
    file.write_text(
        content if isinstance(content, str) else json.dumps(content)
    )
    return str(file)


def check(ann_file, image_dir='.', **changes):
    options = dict(crowd_index=False, required=(), test_side=None)
    return check_dataset(ann_file, image_dir, 17, **{**options, **changes})


def test_a_complete_dataset_passes(synthetic):
    counts = check(
        str(synthetic / 'annotations/person_keypoints_val.json'),
        str(synthetic / 'images/val'),
    )
    assert counts.images == 6
    assert counts.warnings == []


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('keypoints', None, 'annotation 1 .* has no keypoints'),
        ('keypoints', [1] * 42, '42 numbers in keypoints, expected 51'),
        ('bbox', None, 'has no bbox'),
        ('image_id', 999, 'image 999 has an image_id that is not in'),
        ('keypoints', [float('nan')] * 51, 'values in keypoints that are not'),
        ('bbox', [1, 2, 3], '3 numbers in bbox, expected 4'),
        (
            'segmentation',
            dict(size=[1, 1], counts=[1]),
            r'mask of size \[1, 1\], expected \[128, 160\]',
        ),
        ('segmentation', dict(counts=[1]), 'RLE mask without size or counts'),
        ('segmentation', [[1, 2, 3]], 'neither an RLE mask nor a list of'),
        ('segmentation', [1, 2, 3, 4, 5, 6], 'neither an RLE mask nor'),
        ('segmentation', [[]], 'neither an RLE mask nor a list'),
        ('segmentation', [[1, 2, 3, 4, 5, None]], 'neither an RLE mask nor'),
        ('category_id', 0, 'has category_id 0, expected 1 for people'),
        ('id', 2, 'annotation id 2 occurs 2 times'),
    ],
)
def test_a_bad_annotation_is_named(tmp_path, content, key, value, message):
    annotation = content['annotations'][0]
    annotation[key] = value
    if value is None:
        del annotation[key]
    with pytest.raises(ValueError, match=message):
        check(write(tmp_path, content))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"images": [', 'ann.json is not valid JSON .* download it again'),
        ([1], 'no list "images"'),
        ({'images': [{'id': 1}]}, 'image 1 has no file_name, height, width'),
        ({'images': []}, 'has no annotations'),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        check(write(tmp_path, content))


def test_a_test_set_needs_no_annotations(tmp_path):
    file = write(tmp_path, {'images': []})
    report = check(file, needs_annotations=False)
    assert (report.images, report.annotations) == (0, 0)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match='x.json does not exist; set'):
        check('x.json')


def test_missing_and_broken_images_are_all_named(tmp_path, content, synthetic):
    for image in content['images']:
        name = image['file_name']
        complete = (synthetic / 'images/val' / name).read_bytes()
        (tmp_path / name).write_bytes(complete)
    first, second, third = (i['file_name'] for i in content['images'][:3])
    (tmp_path / first).unlink()
    (tmp_path / second).write_bytes(b'')
    (tmp_path / third).write_bytes((tmp_path / third).read_bytes()[:-2000])
    with pytest.raises(ValueError, match='3 problem') as error:
        check(write(tmp_path, content), str(tmp_path))
    for line in (
        f'{first} does not exist',
        f'{second} is empty',
        f'{third} is truncated',
    ):
        assert line in str(error.value)


def test_long_lists_are_counted_by_kind_and_shortened(tmp_path, content):
    first = content['annotations'][0]
    content['annotations'] = [dict(first, bbox=None) for _ in range(30)]
    file = write(tmp_path, content)
    message = '37 problem.* of 3 kind'  # 30, one repeated id, 6 missing images
    with pytest.raises(ValueError, match=message) as error:
        check(file)
    assert '30 annotations: annotation 1 of image 9 has no' in str(error.value)
    assert '... and 25 more' in str(error.value)
    assert len(str(error.value).splitlines()) == 1 + 1 + 6 + 6 + 3
    with pytest.raises(ValueError, match='and 28 more') as shorter:
        check(file, max_shown=2)
    assert len(str(shorter.value)) < len(str(error.value))


def test_annotations_and_images_are_checked_in_one_pass(tmp_path, content):
    content['annotations'][0]['bbox'] = [9, 9, -1, 5]
    with pytest.raises(ValueError, match='bbox of negative size') as error:
        check(write(tmp_path, content), str(tmp_path))
    name = content['images'][0]['file_name']
    assert f'6 image files: {tmp_path}/{name} does not' in str(error.value)
    for remedy in ('Correct the annotation file', 'Set data_prefix'):
        assert remedy in str(error.value)


def test_images_too_long_for_testing_do_not_stop_training(synthetic, tmp_path):
    cfg = make_cfg(synthetic)
    content = json.loads(
        (synthetic / 'annotations/person_keypoints_val.json').read_text()
    )
    content['images'][0].update(file_name='long.png', width=420, height=20)
    cv2.imwrite(str(tmp_path / 'long.png'), np.zeros((20, 420, 3), np.uint8))
    for image in content['images'][1:]:
        source = synthetic / 'images/val' / image['file_name']
        shutil.copy(source, tmp_path)
    for person in content['annotations']:
        person.pop('segmentation', None)
    for split in ('train', 'val'):
        cfg[f'{split}_dataloader'].dataset.update(
            data_root=str(tmp_path),
            ann_file=write(tmp_path, content),
            data_prefix=dict(img=''),
        )
    check_before_run(cfg, ('train',))
    with pytest.raises(ValueError, match='420x20 .* be resized to 10752x512'):
        check_before_run(cfg, ('train', 'val'))


def test_the_shipped_config_agrees_with_itself():
    check_config(Config.fromfile(LEAF))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            {'model.head.decoder.input_size': (640, 640)},
            r'decoder.input_size = \(640, 640\)',
        ),
        (
            {'val_dataloader.dataset.pipeline.1.input_size': (256, 256)},
            r'val_dataloader: BottomupPyramidResize.input_size = \(256, 256\)',
        ),
        (
            {'model.head.decoder.heatmap_sizes': [(64, 64), (128, 128)]},
            'heatmap_sizes',
        ),
        ({'model.head.num_keypoints': 14}, 'num_keypoints = 14'),
        ({'model.head.decoder.unbiased': True}, 'decoder.unbiased = True'),
        ({'codec.sigma': 3.0}, r'codec.sigma = 3\.0'),
        ({'model.head.in_channels': 48}, 'in_channels = 48'),
        ({'scale_range': (0.75, 1.25)}, r'scale_range = \(0.75, 1.25\)'),
        (
            {'train_dataloader.dataset.pipeline.3.unbiased': True},
            'BottomupGetLossMask.unbiased = True',
        ),
        ({'codec.person_scale': {}}, r'codec.person_scale = \{\}'),
    ],
)
def test_settings_that_disagree_are_named_with_their_keys(change, message):
    cfg = Config.fromfile(LEAF)
    cfg.merge_from_dict(copy.deepcopy(change))
    with pytest.raises(ValueError, match=message):
        check_config(cfg)


def test_scales_of_other_transforms_are_not_compared():
    cfg = Config.fromfile(LEAF)
    cfg.val_dataloader.dataset.pipeline.insert(
        1, dict(type='mmcv.Resize', scale=(300, 300))
    )
    check_config(cfg)


def test_encoders_may_be_a_list():
    cfg = Config.fromfile(LEAF)
    (step,) = (
        t
        for t in cfg.train_dataloader.dataset.pipeline
        if t['type'] == 'GenerateTarget'
    )
    step.encoder = [copy.deepcopy(step.encoder)]
    check_config(cfg)
    step.encoder[0].sigma = 3.0
    with pytest.raises(ValueError, match=r'encoder\[0\].sigma = 3\.0'):
        check_config(cfg)


def test_omitted_arguments_have_the_defaults_of_the_codec():
    cfg = Config.fromfile(LEAF)
    cfg.model.head.decoder.pop('unbiased', None)
    cfg.model.head.decoder.sigma = 2.0
    check_config(cfg)
    cfg.model.head.decoder.sigma = 3.0
    cfg.codec.pop('sigma', None)
    with pytest.raises(ValueError, match=r'codec\.sigma = 2\.0'):
        check_config(cfg)


def test_arguments_of_encoding_are_those_of_the_codec_class():
    @KEYPOINT_CODECS.register_module(name='CodecOfTest')
    class CodecOfTest(KEYPOINT_CODECS.get('ScaleAwareAssociativeEmbedding')):
        def __init__(self, input_size, stride=4, decode_extra=1):
            raise AssertionError('the codec is not built')

    cfg = Config.fromfile(LEAF)
    codecs = [cfg.codec, cfg.model.head.decoder]
    codecs += [
        step['encoder']
        for step in cfg.train_dataloader.dataset.pipeline
        if 'encoder' in step
    ]
    try:
        for codec in codecs:
            codec.type = 'CodecOfTest'
        cfg.codec.update(decode_extra=2, sigma=9.0)
        check_config(cfg)
        cfg.codec.stride = 2
        with pytest.raises(ValueError, match=r'codec\.stride = 2') as error:
            check_config(cfg)
        assert 'model.head.decoder.stride = 4' in str(error.value)
    finally:
        KEYPOINT_CODECS.module_dict.pop('CodecOfTest')


def test_a_codec_that_is_not_registered_is_named():
    cfg = Config.fromfile(LEAF)
    cfg.codec.type = 'Misspelt'
    with pytest.raises(ValueError, match="'Misspelt' is not registered"):
        check_config(cfg)


def test_other_models_are_not_checked():
    check_config(Config(dict(model=dict(head=dict(type='RTMOHead')))))


def make_cfg(synthetic, **changes):
    cfg = Config.fromfile(LEAF)
    cfg.val_dataloader.dataset.update(
        data_root=str(synthetic),
        ann_file='annotations/person_keypoints_val.json',
        data_prefix=dict(img='images/val'),
    )
    cfg.val_evaluator.ann_file = str(
        synthetic / 'annotations/person_keypoints_val.json'
    )
    cfg.merge_from_dict(changes)
    return cfg


def test_the_dataset_of_a_run_is_checked(synthetic, capsys):
    check_before_run(make_cfg(synthetic), ('val',))
    assert '6 images' in capsys.readouterr().out


def test_a_missing_checkpoint_is_named(synthetic):
    with pytest.raises(
        FileNotFoundError, match='nothing.pth .* correct load_from'
    ):
        check_before_run(make_cfg(synthetic, load_from='nothing.pth'), ())


def test_another_skeleton_is_named(synthetic):
    cfg = make_cfg(synthetic)
    cfg.val_dataloader.dataset.type = 'CrowdPoseDataset'
    with pytest.raises(ValueError, match='CrowdPoseDataset has 14 keypoints'):
        check_before_run(cfg, ('val',))


def unlabel(content):
    for annotation in content['annotations']:
        annotation.update(keypoints=[0] * 51, num_keypoints=0)


def test_a_dataset_without_labelled_keypoints_is_refused(tmp_path, content):
    unlabel(content)
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match='no instance has a labelled keypoi'):
        check(path)
    content['annotations'][0]['keypoints'][:3] = [5, 5, 1]
    with pytest.raises(ValueError, match='does not exist') as caught:
        check(write(tmp_path, content))
    assert 'no instance' not in str(caught.value)


def write_unlabelled(synthetic, tmp_path):
    source = synthetic / 'annotations/person_keypoints_train.json'
    content = json.loads(source.read_text())
    unlabel(content)
    return write(tmp_path, content)


@pytest.mark.parametrize('name', ['RepeatDataset', 'ConcatDataset'])
def test_a_training_without_labelled_keypoints_is_refused(
    synthetic, tmp_path, name
):
    path = write_unlabelled(synthetic, tmp_path)
    wrap = WRAPPERS[name]
    cfg = make_wrapped(synthetic, lambda leaf: wrap(dict(leaf, ann_file=path)))
    with pytest.raises(ValueError, match='no instance has a labelled'):
        check_before_run(cfg, ('train',))


def test_a_dataset_of_background_is_valid_beside_others(
    synthetic, tmp_path, capsys
):
    path = write_unlabelled(synthetic, tmp_path)
    cfg = make_wrapped(
        synthetic,
        lambda leaf: dict(
            type='ConcatDataset', datasets=[leaf, dict(leaf, ann_file=path)]
        ),
    )
    check_before_run(cfg, ('train',))
    assert f'checked {path}: 8 images' in capsys.readouterr().out


def test_keys_that_a_metric_requires_are_checked(tmp_path, content):
    del content['annotations'][0]['area']
    path = write(tmp_path, content)
    with pytest.raises(
        ValueError, match='image 9 has no area, which the metric re'
    ):
        check(path, required=('area',))
    content['images'].append(content['images'][0])
    del content['categories']
    with pytest.raises(ValueError, match='image id 9 occurs 2') as caught:
        check(write(tmp_path, content))
    assert 'no list "categories"' in str(caught.value)


def test_a_missing_backbone_file_is_named_before_the_run(synthetic):
    cfg = Config.fromfile(LEAF)
    cfg.model.backbone.init_cfg = dict(
        type='PretrainedBackbone', checkpoint='work_dirs/none/epoch_300.pth'
    )
    with pytest.raises(FileNotFoundError, match='none/epoch_300.pth does'):
        check_before_run(cfg, ('train',))


def set_dataset(cfg, split, dataset):
    cfg[f'{split}_dataloader']['dataset'] = dataset


def make_wrapped(synthetic, wrap, split='train'):
    """Make a config whose training dataset is wrapped."""
    cfg = make_cfg(synthetic)
    leaf = cfg.train_dataloader.dataset
    leaf.update(
        data_root=str(synthetic),
        ann_file=f'annotations/person_keypoints_{split}.json',
        data_prefix=dict(img=f'images/{split}'),
    )
    set_dataset(cfg, 'train', wrap(leaf.to_dict()))
    return cfg


def combine(leaf):
    pipeline = leaf.pop('pipeline')
    return dict(
        type='CombinedDataset',
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        datasets=[leaf, dict(leaf)],
        pipeline=pipeline,
        sample_ratio_factor=[1.0, 0.5],
    )


WRAPPERS = {
    'RepeatDataset': lambda leaf: dict(
        type='RepeatDataset', times=3, dataset=leaf
    ),
    'ConcatDataset': lambda leaf: dict(
        type='ConcatDataset', datasets=[leaf, dict(leaf)]
    ),
    'CombinedDataset': combine,
    'nested': lambda leaf: dict(
        type='RepeatDataset',
        times=2,
        dataset=dict(type='ConcatDataset', datasets=[leaf, dict(leaf)]),
    ),
}


@pytest.mark.parametrize('name', WRAPPERS)
def test_wrapped_datasets_are_checked(synthetic, tmp_path, capsys, name):
    cfg = make_wrapped(synthetic, WRAPPERS[name])
    check_before_run(cfg, ('train',))
    assert 'checked' in capsys.readouterr().out
    source = synthetic / 'annotations/person_keypoints_train.json'
    content = json.loads(source.read_text())
    content['annotations'][0]['keypoints'] = [1]
    bad = write(tmp_path, content)
    leaf = cfg.train_dataloader.dataset
    while 'ann_file' not in leaf:
        leaf = leaf['datasets'][-1] if 'datasets' in leaf else leaf['dataset']
    leaf['ann_file'] = bad
    with pytest.raises(ValueError, match='1 numbers in keypoints, expected'):
        check_before_run(cfg, ('train',))


@pytest.mark.parametrize('name', WRAPPERS)
def test_own_keypoints_are_found_inside_of_wrappers(synthetic, name):
    wrap = WRAPPERS[name]
    dataset = make_wrapped(synthetic, wrap).train_dataloader.dataset
    assert not has_own_metainfo(dataset)
    own = dict(from_file='my/metainfo.py')
    cfg = make_wrapped(synthetic, lambda leaf: wrap(dict(leaf, metainfo=own)))
    assert has_own_metainfo(cfg.train_dataloader.dataset)


def test_a_wrapper_that_cannot_be_built_is_named(synthetic):
    # MMPose's datasets have no categories to balance
    cfg = make_wrapped(
        synthetic,
        lambda leaf: dict(
            type='ClassBalancedDataset', oversample_thr=0.1, dataset=leaf
        ),
    )
    with pytest.raises(ValueError, match='train_dataloader.dataset cannot be'):
        check_before_run(cfg, ('train',))


def test_several_annotation_files_in_one_dataset_are_refused(synthetic):
    cfg = make_wrapped(synthetic, lambda leaf: leaf)
    cfg.train_dataloader.dataset.ann_file = ['a.json', 'b.json']
    with pytest.raises(ValueError, match='expected one path.*ConcatDataset'):
        check_before_run(cfg, ('train',))


def test_converted_keypoints_are_compared_with_the_head(synthetic):
    convert = dict(
        type='KeypointConverter',
        num_keypoints=14,
        mapping=[(n, n) for n in range(14)],
    )
    cfg = make_wrapped(synthetic, lambda leaf: dict(leaf, pipeline=[convert]))
    with pytest.raises(ValueError, match='has 14 keypoints, model.head.num'):
        check_before_run(cfg, ('train',))


def test_classes_as_types_are_checked(synthetic, capsys):
    from mmengine.dataset import RepeatDataset
    from mmpose.datasets import CocoDataset

    cfg = make_wrapped(
        synthetic,
        lambda leaf: dict(
            type=RepeatDataset, times=2, dataset=dict(leaf, type=CocoDataset)
        ),
    )
    check_before_run(cfg, ('train',))
    assert 'checked' in capsys.readouterr().out


def test_settings_of_wrapped_pipelines_must_agree(synthetic):
    cfg = make_wrapped(synthetic, WRAPPERS['nested'])
    leaf = cfg.train_dataloader.dataset.dataset.datasets[0]
    leaf.pipeline[1].input_size = (256, 256)
    with pytest.raises(ValueError, match=r'input_size = \(256, 256\)'):
        check_config(cfg)


@pytest.mark.parametrize('ignore', [None, True, False])
def test_the_orientation_is_read_from_the_pipeline(
    synthetic, tmp_path, capsys, ignore
):
    folder = tmp_path / 'images/train'
    shutil.copytree(synthetic / 'images/train', folder)
    exif = Image.Exif()
    exif[0x0112] = 3
    for path in folder.iterdir():
        Image.open(path).save(path, exif=exif)
    cfg = make_wrapped(synthetic, WRAPPERS['RepeatDataset'])
    leaf = cfg.train_dataloader.dataset.dataset
    leaf.data_prefix.img = str(folder)
    leaf.pipeline[0].ignore_orientation = ignore
    check_before_run(cfg, ('train',))
    asked = 'EXIF orientation 3' in capsys.readouterr().out
    assert asked == (ignore is not False)


def test_training_images_in_the_validation_are_named(synthetic, capsys):
    cfg = make_wrapped(synthetic, WRAPPERS['RepeatDataset'])
    check_before_run(cfg, ('train', 'val'))
    assert 'are training images' not in capsys.readouterr().out
    cfg = make_wrapped(synthetic, WRAPPERS['RepeatDataset'], 'val')
    check_before_run(cfg, ('train', 'val'))
    message = '6 of 6 images of val_dataloader are training images (the same'
    assert message in capsys.readouterr().out

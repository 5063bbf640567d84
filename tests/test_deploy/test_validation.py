"""ONNX files from unknown sources are checked before they are used."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from swahr_mmpose.deploy.runtime import validation
from swahr_mmpose.deploy.runtime.metadata import (
    FORMAT,
    KEY,
    Codec,
    Settings,
    read_settings,
)

VALID = Settings(
    format=FORMAT,
    input_size=64,
    size_factor=64,
    unbiased=False,
    mean=[0, 0, 0],
    std=[1, 1, 1],
    channel_order='rgb',
    keypoints=['a', 'b', 'c'],
    skeleton=[[0, 1]],
    flip_indices=[0, 2, 1],
    flip_test=False,
    fused=True,
    heatmap_levels=[0, 1],
    stride=1,
    finest_stride=2,
    codec=Codec([1, 0, 2], 5, 0.1, 1.0, 30, None),
)
# Values of another type or without a finite size, for any setting.
ODD = ['x', [], {}, -1, 10**400, float('nan'), float('inf'), [[0]], True, 1.5]
INVALID = [
    *[('input_size', v) for v in (0, 64.0, None, 4096, *ODD)],
    *[('size_factor', v) for v in (0, 1 << 20, *ODD)],
    *[('stride', v) for v in (0, 3, 128, *ODD)],
    *[('finest_stride', v) for v in (0, 5, *ODD)],
    *[('mean', v) for v in ([0, 0], [0, 0, 'a'], [0, 0, 1e30], *ODD)],
    *[('std', v) for v in ([1, 1, 0], [1, 1, -1], *ODD)],
    *[('channel_order', v) for v in ('gbr', None, *ODD)],
    *[('keypoints', v) for v in (['a', 'a', 'b'], ['a', 'b', ''], *ODD)],
    *[('skeleton', v) for v in ([[0, 3]], [[0]], [0], None)],
    *[('flip_indices', v) for v in ([0, 1], [0, 0, 1], [0, 1, 3], *ODD)],
    *[('heatmap_levels', v) for v in ([0, 0], [9], [-1], *ODD)],
    *[(n, v) for n in ('fused', 'unbiased') for v in (0, 1, None, 'x')],
    *[('codec.nms_kernel', v) for v in (0, 4, 100001, None, *ODD)],
    *[('codec.topk', v) for v in (0, 10**6, None, 1.5, *ODD)],
    *[('codec.keypoint_thr', v) for v in (None, -0.1, 'x', [], ODD[4])],
    *[('codec.tag_thr', v) for v in (None, -1, float('nan'), {})],
    *[('codec.max_instances', v) for v in (0, -1, 'x', 10**9, 1.5)],
    *[('codec.keypoint_order', v) for v in ([0, 1], [0, 0, 1], *ODD)],
]


def change(name, value):
    content = json.loads(VALID.to_json())
    target = content['codec'] if name.startswith('codec.') else content
    target[name.split('.')[-1]] = value
    return {KEY: json.dumps(content)}


@pytest.mark.parametrize(('name', 'value'), INVALID)
def test_an_invalid_setting_is_named(name, value):
    message = re.escape(f'a.onnx: metadata {KEY!r}') + f'.*{name}.*expected'
    with pytest.raises(ValueError, match=message) as info:
        read_settings(change(name, value), 'a.onnx')
    assert len(str(info.value)) < 400


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('codec.max_instances', 3),
        ('codec.keypoint_thr', 0),
        ('codec.nms_kernel', 1),
        ('skeleton', []),
        ('heatmap_levels', [1]),
        ('stride', 4),
    ],
)
def test_other_valid_settings_are_read(name, value):
    settings = read_settings(change(name, value), 'a.onnx')
    source = settings.codec if name.startswith('codec.') else settings
    assert getattr(source, name.split('.')[-1]) == value


@pytest.mark.parametrize(
    'text', ['[' * 100_000, '1' * 5000, '"' + 'x' * (1 << 21) + '"', '{}']
)
def test_metadata_that_is_no_json_of_settings_is_refused(text):
    with pytest.raises(ValueError, match='are not settings'):
        read_settings({KEY: text}, 'a.onnx')
    with pytest.raises(ValueError, match='lack codec'):
        read_settings(change('codec', [1]), 'a.onnx')


def make_session(inputs=None, num_outputs=2, output='tensor(float)'):
    kinds = inputs or [('tensor(float)', ['batch', 3, 'h', 'w'])]
    return SimpleNamespace(
        get_inputs=lambda: [
            SimpleNamespace(name='i', type=t, shape=s) for t, s in kinds
        ],
        get_outputs=lambda: (
            [SimpleNamespace(name='o', type=output, shape=[])] * num_outputs
        ),
    )


@pytest.mark.parametrize(
    ('session', 'message'),
    [
        (make_session(num_outputs=1), 'and 2 outputs'),
        (make_session(num_outputs=3), 'and 2 outputs'),
        (make_session([('tensor(uint8)', [1, 3, 64, 64])]), 'float input'),
        (make_session([('tensor(float)', [1, 4, 64, 64])]), 'float input'),
        (make_session([('tensor(float)', [1, 3, 64])]), 'float input'),
        (make_session([('tensor(float)', [1, 3, 60, 64])]), 'multiples of 64'),
        (make_session([('tensor(float)', [7, 3, 64, 64])]), 'a batch of 1'),
        (make_session([('tensor(float)', [1, 3, 64, 'w'])]), 'both fixed'),
        (
            make_session([('tensor(float)', [1, 3, 1 << 15, 1 << 15])]),
            'pixels',
        ),
        (make_session(output='tensor(bool)'), 'expected float32'),
        (make_session(output='tensor(float16)'), 'expected float32'),
    ],
)
def test_a_graph_that_does_not_fit_is_refused(session, message):
    validation.check_session(make_session(), VALID, 'a.onnx')
    with pytest.raises(ValueError, match=f'a.onnx: .*{message}'):
        validation.check_session(session, VALID, 'a.onnx')


def test_candidates_of_all_keypoints_are_limited():
    """Each may become a person, with a row for each keypoint."""
    content = json.loads(VALID.to_json())
    names = [str(n) for n in range(1000)]
    content.update(keypoints=names, flip_indices=list(range(1000)))
    content['codec'].update(keypoint_order=list(range(1000)), topk=1000)
    with pytest.raises(ValueError, match='topk is 1000, expected .* to 20 '):
        read_settings({KEY: json.dumps(content)}, 'a.onnx')
    content['codec']['topk'] = 20
    assert read_settings({KEY: json.dumps(content)}, 'a.onnx').codec.topk == 20


def test_large_inputs_are_refused_before_they_are_allocated():
    validation.check_input_size((4096, 4096))
    with pytest.raises(ValueError, match='40960 x 2048 pixels.*crop'):
        validation.check_input_size((40960, 2048))


def test_each_level_needs_an_output():
    outside = VALID._replace(fused=False, heatmap_levels=[1, 2])
    validation.check_session(make_session(num_outputs=4), outside, 'a.onnx')
    with pytest.raises(ValueError, match='4 outputs'):
        validation.check_session(make_session(), outside, 'a.onnx')


@pytest.mark.parametrize(
    ('heatmaps', 'tags'),
    [
        ((1, 2, 64, 64), (1, 3, 16, 16)),
        ((1, 3, 32, 64), (1, 3, 16, 16)),
        ((1, 3, 64, 64), (1, 4, 16, 16)),
        ((1, 3, 64, 64), (2, 3, 16, 16)),
        ((1, 3, 64, 64), (1, 3, 0, 16)),
        ((1, 3, 64, 64), (1, 3, 128, 16)),
        ((1, 3, 64, 64), (1, 3, 16)),
        ((1, 3, 64, 64), (1, 300, 2, 2)),
    ],
)
def test_maps_of_other_shapes_are_refused(heatmaps, tags):
    shape = (1, 3, 64, 64)
    good = np.zeros((1, 3, 64, 64)), np.zeros((1, 6, 16, 16))
    validation.check_maps(good, shape, VALID)
    maps = np.zeros(heatmaps), np.zeros(tags)
    with pytest.raises(ValueError, match='the model computed'):
        validation.check_maps(maps, shape, VALID)


@pytest.mark.parametrize('scales', [(1, 3, 64, 64), (1, 2, 32, 32), (3, 32)])
def test_scale_maps_of_other_shapes_are_refused(scales):
    shape = (1, 3, 64, 64)
    good = np.zeros((1, 3, 64, 64)), np.zeros((1, 6, 16, 16))
    validation.check_maps((*good, np.zeros((1, 3, 32, 32))), shape, VALID)
    with pytest.raises(ValueError, match='the model computed scale maps'):
        validation.check_maps((*good, np.zeros(scales)), shape, VALID)

import contextlib
import io
import json
import os
import runpy
import shutil
import signal
import sys
import threading
import time

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT
from helpers.datasets import write
from helpers.tools import LEAVES, save_random_weights, tool
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.apis import MMPoseInferencer
from pycocotools.coco import COCO

from swahr_mmpose.apis.inferencer import Inferencer
from swahr_mmpose.apis.video import VideoReader, VideoWriter

CONFIG = str(
    ROOT
    / 'configs/synthetic/swahr_higherhrnet-tiny_1xb4-15e_synthetic-256x256.py'
)
TOOL = str(ROOT / 'tools/infer.py')
SMALL = {
    'test_dataloader.dataset.pipeline.1.input_size': (64, 64),
    'model.head.decoder.input_size': (64, 64),
    'model.head.decoder.heatmap_sizes': [(16, 16), (32, 32)],
    'model.head.decoder.decode_topk': 4,
    'model.head.decoder.decode_max_instances': 4,
    # Dataset files do not exist.
    'test_dataloader.dataset.data_root': '/nowhere/',
    'test_evaluator.ann_file': '/nowhere/people.json',
}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Random weights that detect people everywhere."""
    return save_random_weights(tmp_path_factory.mktemp('weights'))


@pytest.fixture(scope='module')
def infer(checkpoint):
    return Inferencer(
        CONFIG, checkpoint, 'cpu', threshold=0, cfg_options=SMALL
    )


def level(n):
    """Pixel value of an image with n people, see CountingModel."""
    return 20 * n


class CountingModel:
    """Stub of the network that predicts ``value / level(1)`` people.

    The first person is at the pixel value, the others at distances of 100.
    """

    def __init__(self):
        self.batches = []

    def __call__(self, batch):
        inputs, samples = batch['inputs'], batch['data_samples']
        assert len({tuple(image.shape) for image in inputs}) == 1
        self.batches.append(len(inputs))
        for image, sample in zip(inputs, samples):
            value = float(image.float().median())  # borders are black
            n = round(value / level(1))
            places = value + 100 * np.arange(n)
            keypoints = np.tile(np.linspace(0, 40, 17)[:, None], 2)
            sample.pred_instances = InstanceData(
                keypoints=keypoints + places[:, None, None],
                keypoint_scores=np.ones((n, 17), np.float32),
                bbox_scores=np.linspace(0.1, 0.9, n).astype(np.float32),
            )
        return samples


def counting(checkpoint, **kwargs):
    kwargs.setdefault('threshold', 0)
    infer = Inferencer(CONFIG, checkpoint, 'cpu', cfg_options=SMALL, **kwargs)
    infer.model.test_step = CountingModel()
    return infer


SIZES = [(64, 64), (80, 60), (64, 64), (33, 47), (64, 64), (80, 60)] * 2


def image(n):
    w, h = SIZES[n]
    return np.full((h, w, 3), level(n), np.uint8)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for n in range(len(SIZES)):
        cv2.imwrite(str(folder / f'{n + 10}.png'), image(n))
    (folder / 'notes.txt').write_text('not an image')
    return folder


@pytest.mark.parametrize('size', [1, 2, 3, 50])
@pytest.mark.parametrize('ahead', [0, 1, 5])
def test_results_come_in_order_in_batches_of_one_size(
    checkpoint, folder, size, ahead
):
    infer = counting(checkpoint, batch_size=size, ahead=ahead)
    results = list(infer(folder))
    assert [r.name for r in results] == [
        f'{n + 10}.png' for n in range(len(SIZES))
    ]
    for n, result in enumerate(results):
        np.testing.assert_array_equal(result.image, image(n))
        assert result.keypoints.shape == (n, 17, 2)
        assert result.keypoint_scores.shape == (n, 17)
        assert result.boxes.shape == (n, 4)
        if n:
            assert result.keypoints.min() == level(n)
    batches = infer.model.test_step.batches
    assert sum(batches) == len(SIZES)
    assert max(batches) == min(size, 6)


def test_kinds_of_input_give_the_same(checkpoint, folder, tmp_path):
    infer = counting(checkpoint, batch_size=2)
    expected = [r.keypoints for r in infer(str(folder))]
    assert len(expected) == len(SIZES)
    paths = sorted(folder.glob('*.png'))
    arrays = [image(n) for n in range(len(SIZES))]
    for inputs in (paths, arrays, (a for a in arrays)):
        found = [r.keypoints for r in infer(inputs)]
        for a, b in zip(expected, found):
            np.testing.assert_array_equal(a, b)
        assert len(found) == len(expected)
    assert [r.index for r in infer(folder, every=5)] == [0, 5, 10]
    video = write(tmp_path / 'walk.mp4')
    frames = list(infer(video, every=2))
    assert [r.name for r in frames] == [
        f'walk_00000{n}.jpg' for n in (0, 2, 4, 6)
    ]
    assert [len(r.scores) for r in frames] == [0, 3, 6, 9]


def test_threshold_and_number_of_people(checkpoint):
    (every,) = counting(checkpoint)(image(5))
    np.testing.assert_allclose(every.scores, [0.9, 0.7, 0.5, 0.3, 0.1])
    assert np.diff(every.keypoints[:, 0, 0]).tolist() == [-100] * 4
    (good,) = counting(checkpoint, threshold=0.4)(image(5))
    np.testing.assert_allclose(good.scores, [0.9, 0.7, 0.5])
    (best,) = counting(checkpoint, max_people=2)(image(5))
    np.testing.assert_array_equal(best.keypoints, every.keypoints[:2])
    (alike,) = counting(checkpoint, nms=0.0)(image(5))
    assert 1 <= len(alike.scores) <= 5


def test_an_unreadable_image_stops_or_is_reported(checkpoint, folder):
    broken = folder / '12.png'
    broken.write_bytes(broken.read_bytes()[:40])
    for ahead in (0, 4):
        infer = counting(checkpoint, ahead=ahead, batch_size=2)
        before = threading.active_count()
        with pytest.raises(ValueError, match='12.png .* not a complete'):
            list(infer(folder))
        assert threading.active_count() == before
        reported = []
        results = infer(folder, on_error=lambda *a, to=reported: to.append(a))
        names = [r.name for r in results]
        assert len(names) == len(SIZES) - 1
        assert '12.png' not in names
        ((item, error),) = reported
        assert item.path == str(broken)
        assert '12.png' in str(error)
    with pytest.raises(ValueError, match='image 1: got an image of shape'):
        list(infer([image(1), image(1).astype(float)]))


def test_missing_images_of_a_list_are_reported_like_broken_ones(
    checkpoint, folder
):
    infer = counting(checkpoint)
    inputs = [folder / name for name in ('10.png', 'gone.png', '11.png')]
    with pytest.raises(FileNotFoundError, match='gone.png does not exist'):
        infer(inputs)  # before the first image
    reported = []
    results = infer(inputs, on_error=lambda *report: reported.append(report))
    assert [(r.index, r.name) for r in results] == [
        (0, '10.png'), (2, '11.png')
    ]  # fmt: skip
    ((item, error),) = reported
    assert item.path == str(inputs[1])
    assert 'gone.png does not exist' in str(error)
    for single in (inputs[1], str(folder / 'none'), [folder / 'none']):
        with pytest.raises(FileNotFoundError, match='does not exist'):
            infer(single, on_error=lambda *_: None)


def test_an_infinite_source_can_be_closed(checkpoint):
    def camera():
        while True:
            yield image(3)

    before = threading.active_count()
    results = counting(checkpoint, batch_size=3)(camera())
    for n in range(10):
        assert next(results).index == n
    results.close()
    assert threading.active_count() == before


@pytest.mark.parametrize('flip', [False, True])
def test_the_network_detects_people(infer, checkpoint, flip):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (70, 90, 3), np.uint8)
    with_flip = Inferencer(
        Config.fromfile(CONFIG),
        checkpoint,
        'cpu',
        threshold=0,
        flip=flip,
        cfg_options=SMALL,
    )
    assert with_flip.model.test_cfg['flip_test'] is flip
    (result,) = with_flip(pixels)
    assert len(result.scores) > 0
    assert np.isfinite(result.keypoints).all()
    drawn = result.drawn()
    assert drawn.shape == pixels.shape
    assert (drawn != pixels).any()
    (same,) = infer(pixels)
    assert (len(same.scores) == len(result.scores)) or flip


def test_grey_transparent_odd_and_tiny_images(infer, tmp_path):
    rng = np.random.default_rng(0)
    shapes = [(31, 45), (64, 64, 4), (1, 1, 3), (17, 203, 3), (301, 77, 3)]
    for n, shape in enumerate(shapes):
        pixels = rng.integers(0, 256, shape, np.uint8)
        cv2.imwrite(str(tmp_path / f'{n}.png'), pixels)
    for result, shape in zip(infer(tmp_path), shapes):
        assert result.image.shape == (*shape[:2], 3)
        assert np.isfinite(result.keypoints).all()


def test_people_are_detected_in_upright_images(infer, checkpoint, tmp_path):
    from PIL import Image

    stored = Image.fromarray(np.zeros((40, 60, 3), np.uint8))
    exif = stored.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    path = tmp_path / 'a.jpg'
    stored.save(path, exif=exif)
    (result,) = infer(path)
    assert result.image.shape == (60, 40, 3)
    unrotated = counting(checkpoint, ignore_orientation=True)
    (result,) = unrotated(path)
    assert result.image.shape == (40, 60, 3)


def test_a_pyramid_of_scales_goes_into_batches(checkpoint):
    scales = {'test_dataloader.dataset.pipeline.1.scales': (0.5, 1.0, 2.0)}
    images = [image(n) for n in (0, 1, 2)]
    counts = []
    for size in (1, 2):
        infer = Inferencer(
            CONFIG, checkpoint, 'cpu', threshold=0, batch_size=size,
            cfg_options={**SMALL, **scales},
        )  # fmt: skip
        counts.append([r.keypoints.shape for r in infer(images)])
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(batch_size=0), 'batch_size must be 1 or more, got 0'),
        (dict(max_people=0), 'max_people must be 1 or more, got 0'),
        (dict(batch_size='2'), "batch_size must be 1 or more, got '2'"),
        (dict(nms=2), 'nms must be an OKS from 0 to 1, got 2'),
        (dict(threshold=30), 'threshold must be .* got 30; for 30 % use 0.3'),
        (dict(threshold='a'), "threshold must be a score .* to 1, got 'a'"),
    ],
)
def test_bad_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Inferencer(CONFIG, 'none.pth', **kwargs)


class Harmful:
    def __reduce__(self):
        return print, ('it ran',)


def test_a_checkpoint_with_code_is_refused(tmp_path, capsys):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict={}, meta=Harmful()), path)
    with pytest.raises(ValueError, match='a.pth is refused: it holds more'):
        Inferencer(CONFIG, str(path), 'cpu')
    assert 'it ran' not in capsys.readouterr().out


# MMPose's own inferencer


@pytest.mark.parametrize('leaf', LEAVES)
def test_configs_have_the_keys_that_mmpose_requires(leaf):
    cfg = Config.fromfile(ROOT / leaf)
    assert cfg.data_mode == 'bottomup'
    assert cfg.test_dataloader.dataset.data_mode == 'bottomup'
    assert cfg.visualizer.type == 'PoseLocalVisualizer'


def test_mmpose_infers_from_config_and_checkpoint(
    infer, checkpoint, folder, tmp_path
):
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(SMALL)
    path = tmp_path / 'small.py'
    cfg.dump(path)
    inferencer = MMPoseInferencer(
        pose2d=str(path), pose2d_weights=checkpoint, device='cpu'
    )
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (70, 90, 3), np.uint8)
    shutil.rmtree(folder)
    folder.mkdir()
    cv2.imwrite(str(folder / 'a.png'), pixels)
    (ours,) = infer(pixels)
    for inputs in (str(folder), str(folder / 'a.png'), pixels):
        (found,) = inferencer(inputs, out_dir=str(tmp_path / 'out'))
        (people,) = found['predictions']
        assert len(people) == len(ours.scores)
        nearest = [
            min(abs(ours.keypoints - p['keypoints']).max(axis=(1, 2)))
            for p in people
        ]
        assert max(nearest) < 1e-3
    assert (tmp_path / 'out/visualizations/a.png').exists()
    (found,) = inferencer(pixels[..., 0], return_vis=True)
    video = write(tmp_path / 'walk.mp4')
    assert len(list(inferencer(video))) == 7


# The tool


def options():
    return [
        '--cfg-options',
        *(f'{k}={v}'.replace(' ', '') for k, v in SMALL.items()),
    ]


@pytest.fixture
def main(monkeypatch, capsys, checkpoint):
    """Run the tool in this process; return its output."""

    def call(*args):
        command = [TOOL, CONFIG, checkpoint, *args, *options()]
        monkeypatch.setattr(sys, 'argv', [str(a) for a in command])
        runpy.run_path(TOOL, run_name='__main__')
        return capsys.readouterr().out

    return call


@pytest.mark.slow
def test_the_tool_processes_a_folder(checkpoint, folder, tmp_path):
    (folder / 'broken.jpg').write_bytes(b'no image')
    out = tmp_path / 'out'
    done = tool(
        'infer.py', CONFIG, checkpoint, folder,
        '--out-file', out / 'people.json', '--out-dir', out,
        '--batch-size', '3', '--score-thr', '0',
        '--pose-nms', '0.9', '--max-people', '3', '--device', 'cpu',
        '--on-error', 'skip', *options(),
    )  # fmt: skip
    assert f'{len(SIZES)} images, ' in done.stdout
    assert f'1 image was skipped: {folder}/broken.jpg' in done.stdout
    assert 'broken.jpg (8 bytes) is not an image file' in done.stderr
    assert f'results are in {out}/people.json' in done.stdout
    assert len(list(out.glob('*.png'))) == len(SIZES)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(out / 'people.images.json')
        found = coco.loadRes(str(out / 'people.json'))
    assert sorted(i['file_name'] for i in coco.imgs.values()) == sorted(
        p.name for p in folder.glob('*.png')
    )
    assert 0 < len(found.anns) <= 3 * len(SIZES)


def test_the_tool_uses_numbers_in_names_as_ids(main, folder, tmp_path):
    printed = main(folder, '--out-file', tmp_path / 'a.json', '--every', '4')
    assert 'skipped 1 files that are not images: notes.txt' in printed
    table = json.loads((tmp_path / 'a.images.json').read_text())
    assert [i['id'] for i in table['images']] == [10, 14, 18]


def test_the_tool_skips_missing_images_of_several(main, folder, tmp_path):
    out = tmp_path / 'a.json'
    gone, present = folder / 'gone.png', folder / '11.png'
    command = ['--out-file', out, '--on-error', 'skip']
    printed = main(gone, present, *command)
    assert '1 image, ' in printed
    assert f'skipped: {gone}' in printed
    table = json.loads((tmp_path / 'a.images.json').read_text())
    assert [i['file_name'] for i in table['images']] == ['11.png']
    for inputs in ([gone], [gone, folder / 'b.png'], [folder / 'x', present]):
        with pytest.raises(SystemExit, match='error: .* not exist'):
            main(*inputs, *command)
    with pytest.raises(SystemExit, match='or skip images with --on-error'):
        main(gone, present)


def test_the_tool_stops_at_an_unreadable_image(main, folder, tmp_path):
    (folder / 'broken.jpg').write_bytes(b'no image')
    with pytest.raises(SystemExit, match='broken.jpg .8 bytes.*leave it out$'):
        main(folder, '--out-file', tmp_path / 'a.json')
    assert [p.name for p in tmp_path.iterdir()] == ['images']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--device', 'cuda'], "error: device 'cuda' cannot be used .*: cpu"),
        (['--device', 'gpu'], "error: device 'gpu' cannot be used .*: cpu"),
        (['--show'], 'error: no screen for a window'),
    ],
)
def test_the_tool_reports_a_missing_device_or_screen(
    main, folder, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    monkeypatch.setattr('sys.platform', 'linux')
    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    with pytest.raises(SystemExit, match=message):
        main(folder, '--out-file', tmp_path / 'a.json', *arguments)
    assert [p.name for p in tmp_path.iterdir()] == ['images']


def test_the_tool_names_an_unknown_setting(
    monkeypatch, checkpoint, folder, tmp_path
):
    given = [TOOL, CONFIG, checkpoint, folder]
    given += ['--out-file', tmp_path / 'a.json']
    given += ['--cfg-options', 'model.head.keypoint_loss.gama=1']
    monkeypatch.setattr(sys, 'argv', list(map(str, given)))
    message = "error: SWAHRLoss has no argument 'gama', did you mean 'gamma'"
    with pytest.raises(SystemExit, match=message):
        runpy.run_path(TOOL, run_name='__main__')


def test_the_tool_draws_a_video(main, tmp_path):
    path = write(tmp_path / 'walk.mp4')
    out = tmp_path / 'out'
    printed = main(
        path, '--out-dir', out, '--out-file', tmp_path / 'a.json',
        '--every', '2', '--score-thr', '1',
    )  # fmt: skip
    assert '4 images, 0 people' in printed
    video = VideoReader(str(out / 'walk.mp4'))
    assert (video.fps, video.count) == (12.5 / 2, 4)
    assert json.loads((tmp_path / 'a.json').read_text()) == []
    main(path, '--out-dir', out, '--as-images')
    assert {p.name for p in out.glob('*.jpg')} == {
        f'walk_00000{n}.jpg' for n in range(7)
    }
    before = (tmp_path / 'walk.mp4').read_bytes()
    with pytest.raises(SystemExit, match='would overwrite the inputs'):
        main(path, '--out-dir', tmp_path)
    assert (tmp_path / 'walk.mp4').read_bytes() == before


def test_a_camera_is_stopped_by_ctrl_c_and_files_are_complete(
    main, tmp_path, monkeypatch
):
    class Camera:
        """Return infinitely many frames; send Ctrl-C at the fifth."""

        grabbed = 0

        def __init__(self, number):
            assert number == 3

        def isOpened(self):  # noqa: N802
            return True

        def set(self, *_):
            return True

        def get(self, _):
            return 0.0

        def grab(self):
            self.grabbed += 1
            if self.grabbed == 5:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            return True

        def retrieve(self):
            return True, image(1)

        def release(self):
            pass

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr('swahr_mmpose.apis.video.cv2.VideoCapture', Camera)
        patched.setattr(VideoWriter, '_check_written', lambda _: None)
        out_file = tmp_path / 'a.json'
        printed = main(
            'webcam:3', '--out-file', out_file, '--out-dir', tmp_path
        )
    assert signal.getsignal(signal.SIGINT) is before
    frames = json.loads((tmp_path / 'a.images.json').read_text())['images']
    assert len(frames) >= 1
    assert f'{len(frames)} images, ' in printed
    video = list(VideoReader(str(tmp_path / 'camera3.mp4')))
    assert len(video) >= len(frames)


def test_help_has_examples(main, capsys):
    with pytest.raises(SystemExit):
        main('--help')
    assert 'python tools/infer.py' in capsys.readouterr().out

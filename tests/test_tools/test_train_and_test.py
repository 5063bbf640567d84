"""Tools run as users run them, on a small synthetic dataset."""

import json
import os
import re
import resource
import shutil
import socket
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import ROOT
from helpers.tools import CONFIG, ann, data_options, run, tool, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def trained(synthetic, tmp_path_factory):
    """A work directory with one epoch of training."""
    folder = tmp_path_factory.mktemp('run')
    done = train(synthetic, folder, options=['custom_hooks.4.interval=1'])
    drawn = {p.name for p in folder.rglob('vis_image/*.png')}
    assert {'scale_maps_0_1.png', 'targets_1_1.png'} <= drawn
    assert_is_quiet(done, folder)
    return folder


# The row of a table of metrics.
AP = re.compile(r'^coco( +(-|[01]\.\d{3})){10}$', re.MULTILINE)


def assert_is_quiet(done, folder):
    """A line per epoch, a table per validation, and what to do next."""
    assert done.stderr == ''
    lines = done.stdout.splitlines()
    starts = [line.split()[0] for line in lines[:-5]]
    assert starts == [
        'checked', 'checked', 'warning:', 'epoch', 'AP', 'coco', 'checkpoints'
    ]  # fmt: skip
    assert lines[2].startswith('warning: train_cfg.max_epochs is 1, but')
    assert re.fullmatch(
        r'epoch 1/1  loss \S+ +kpt \S+ +scale \S+ +pull \S+ +push \S+ +'
        r'lr \S+  \d:\d\d  left 0:00',
        lines[3],
    )
    assert AP.fullmatch(lines[5])
    assert lines[6] == f'checkpoints and logs are in {folder}'
    assert lines[7] == 'next:'
    log = next(folder.glob('*/*.log')).read_text()
    for part in ('loss_scale.1', 'coco/AP', 'Config:', 'before_train_iter:'):
        assert part in log
        assert part not in done.stdout


def test_the_last_lines_are_commands_that_run(synthetic, trained, tmp_path):
    """Those that take the model, trained at another input size."""
    done = train(synthetic, tmp_path / 'run', '--input-size', 128)
    lines = done.stdout.splitlines()[-4:]
    commands = [x[x.index('python tools/') :].split()[1:] for x in lines]
    places = {
        'your.jpg': str(min((synthetic / 'images/val').iterdir())),
        'poses': str(tmp_path / 'poses'),
    }
    infer, test = (
        [places.get(word, word) for word in command]
        for command in commands[:2]
    )
    assert '1 image' in run(sys.executable, *infer).stdout
    assert len(list((tmp_path / 'poses').iterdir())) == 1
    done = run(sys.executable, *test, '--work-dir', tmp_path / 'test')
    assert AP.search(done.stdout)
    written = (tmp_path / 'run' / Path(CONFIG).name).read_text()
    assert '128,' in written
    assert '256,' not in written
    assert commands[2][0] == 'tools/deployment/export_onnx.py'
    assert commands[3] == ['tools/dataset_tools/new_dataset.py', '--help']


def test_verbose_brings_all_messages_back(synthetic, trained, tmp_path):
    done = tool(
        'test.py', CONFIG, trained / 'epoch_1.pth', '--work-dir', tmp_path,
        '--verbose', '--cfg-options', *data_options(synthetic),
    )  # fmt: skip
    for part in ('coco/AP', 'Config:', 'before_test_iter:', 'Accumulating'):
        assert part in done.stdout


def test_a_full_disk_is_reported_and_leaves_the_last_checkpoint(
    synthetic, trained
):
    largest = (trained / 'epoch_1.pth').stat().st_size // 2
    done = train(
        synthetic,
        trained,
        '--resume',
        epochs=2,
        check=False,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (largest, largest)
        ),
    )
    assert done.returncode != 0
    assert 'epoch_2.pth could not be written (' in done.output
    assert 'continue with --resume' in done.output
    assert [p.name for p in trained.glob('epoch*')] == ['epoch_1.pth']


def test_training_resumes_where_it_stopped(synthetic, trained):
    done = train(synthetic, trained, '--resume', epochs=2)
    assert f'resuming from {trained}/epoch_1.pth' in done.stdout
    assert (trained / 'epoch_2.pth').exists()
    assert 'epoch 2/2' in done.stdout
    assert 'epoch 1/2' not in done.stdout


def test_a_longer_training_names_the_settings_that_belong_together(
    synthetic, trained
):
    before = sorted(p.name for p in trained.glob('*.pth'))
    done = train(synthetic, trained, '--resume', epochs=30, check=False)
    assert done.returncode == 1
    assert 'error: train_cfg.max_epochs is 30, but the' in done.stderr
    assert 'train_cfg.max_epochs=30 param_scheduler.1.end=30' in done.stderr
    assert 'Traceback' not in done.output
    assert sorted(p.name for p in trained.glob('*.pth')) == before


def test_a_part_of_a_dataset_is_evaluated_alone(synthetic, trained, tmp_path):
    def test(*options, check=True):
        return tool(
            'test.py',
            CONFIG,
            trained / 'epoch_1.pth',
            '--work-dir',
            tmp_path,
            '--cfg-options',
            *data_options(synthetic),
            'test_dataloader.dataset.indices=2',
            *options,
            check=check,
        )

    assert 'AP of 2 of the 6 images' in test().output
    done = test('test_evaluator.type=CocoMetric', check=False)
    assert done.returncode == 1
    assert 'does not test 4 of them' in done.stderr
    assert 'Traceback' not in done.output


def test_python_style_configs_are_trained_tested_and_drawn(
    synthetic, tmp_path
):
    config = ROOT / 'tests/python_style/swahr_tiny.py'
    options = ['--cfg-options', *data_options(synthetic)]
    tool(
        'train.py',
        config,
        '--work-dir',
        tmp_path,
        *options,
        'train_cfg.max_epochs=1',
    )
    checkpoint = tmp_path / 'epoch_1.pth'
    folder = ['--work-dir', tmp_path / 'test']
    show = ['--show-dir', tmp_path / 'shown']
    done = tool('test.py', config, checkpoint, *folder, *show, *options)
    assert AP.search(done.stdout)
    few = ['--max-images', 1, '--out-dir', tmp_path / 'figures']
    image = min((synthetic / 'images/val').iterdir())
    found, onnx = tmp_path / 'found.json', tmp_path / 'model.onnx'
    to_onnx = ['--out-file', onnx, '--no-runtime']
    for command in (
        ['infer.py', config, checkpoint, image, '--out-file', found],
        ['analysis_tools/visualize.py', config, checkpoint, *few, *options],
        ['dataset_tools/browse_dataset.py', config, *few, *options],
        ['analysis_tools/estimate_memory.py', config],
        ['deployment/export_onnx.py', config, checkpoint, *to_onnx],
    ):
        tool(*command)
    assert found.is_file()
    assert onnx.is_file()


def test_testing_writes_metrics_and_images(synthetic, trained, tmp_path):
    done = tool(
        'test.py',
        CONFIG,
        trained / 'epoch_1.pth',
        '--work-dir',
        tmp_path,
        '--out',  # MMPose's spelling of --out-file
        tmp_path / 'metrics.json',
        '--dump',
        tmp_path / 'all.pkl',
        '--show-dir',
        tmp_path / 'poses',
        '--cfg-options',
        *data_options(synthetic),
        'model.test_cfg.flip_test=True',
    )
    assert f'metrics are in {tmp_path}/metrics.json' in done.stdout
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert 0 <= metrics['coco/AP'] <= 1
    assert len(list((tmp_path / 'poses').iterdir())) == 6
    assert (tmp_path / 'all.pkl').exists()
    assert not list(tmp_path.glob('*.part*'))


def test_scale_maps_are_drawn(synthetic, trained, tmp_path):
    done = tool(
        'analysis_tools/visualize.py',
        CONFIG,
        trained / 'epoch_1.pth',
        '--out-dir',
        tmp_path / 'figures',
        '--max-images',
        '2',
        '--sheet',
        tmp_path / 'sheet.jpg',
        '--cfg-options',
        *data_options(synthetic),
    )
    assert f'figures are in {tmp_path}/figures' in done.stdout
    assert cv2.imread(str(tmp_path / 'sheet.jpg')).shape[1] == 1800
    assert len(list((tmp_path / 'figures').glob('*.png'))) == 2


def test_targets_are_drawn(synthetic, trained, tmp_path):
    common = ['--out-dir', tmp_path, '--keypoint', 'left_wrist']
    common += ['--max-images', '1']
    options = ['--cfg-options', *data_options(synthetic)]
    checkpoint = trained / 'epoch_1.pth'
    tool(
        'analysis_tools/visualize.py',
        CONFIG,
        checkpoint,
        '--targets',
        *common,
        *options,
    )
    done = tool(
        'dataset_tools/browse_dataset.py',
        CONFIG,
        '--repeat',
        2,
        *common,
        *options,
    )
    assert f'figures are in {tmp_path}' in done.stdout
    names = sorted(p.name.split('_', 1)[1] for p in tmp_path.iterdir())
    assert names == ['0.png', '1.png', 'targets.png']


def test_missing_images_and_keypoints_cannot_be_browsed(synthetic, tmp_path):
    options = ['--cfg-options', *data_options(synthetic)]
    for wrong, message in (
        (['--image-id', 999], 'no image 999 among the'),
        (['--keypoint', 'tail'], "no keypoint 'tail'; expected one of nose"),
    ):
        done = tool(
            'dataset_tools/browse_dataset.py',
            CONFIG,
            *wrong,
            *options,
            check=False,
        )
        assert done.returncode != 0
        assert message in done.output


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def test_two_processes_train_and_test(synthetic, tmp_path):
    options = [*data_options(synthetic), 'train_cfg.max_epochs=1']
    path = os.pathsep.join([os.path.dirname(sys.executable), os.defpath])
    for attempt in (
        ('tools/dist_train.sh', CONFIG, '2'),
        ('tools/dist_test.sh', CONFIG, tmp_path / 'epoch_1.pth', '2'),
    ):
        done = run(
            'env',
            f'PATH={path}',
            f'PORT={free_port()}',
            'bash',
            *attempt,
            '--work-dir',
            tmp_path,
            '--cfg-options',
            *options,
            'train_cfg.val_interval=1',
            'default_hooks.checkpoint.interval=1',
            'env_cfg.dist_cfg.backend=gloo',
            'train_dataloader.batch_size=2',
        )
        assert len(AP.findall(done.stdout)) == 1
        assert 'unused parameters' not in done.output


FAILING_HOOK = """
import os
from mmengine.hooks import Hook
from mmpose.registry import HOOKS

@HOOKS.register_module()
class FailingHook(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        if os.environ['RANK'] == '1' and runner.iter == 1:
            raise RuntimeError('out of luck')
"""


def test_a_process_that_fails_in_the_middle_fails_the_run(synthetic, tmp_path):
    (tmp_path / 'failing_hook.py').write_text(FAILING_HOOK)
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = '{ROOT / CONFIG}'\n"
        "custom_imports = dict(imports=['swahr_mmpose', 'failing_hook'])\n"
        "custom_hooks = [*_base_.custom_hooks, dict(type='FailingHook')]\n"
    )
    path = os.pathsep.join([os.path.dirname(sys.executable), os.defpath])
    done = run(
        'env', f'PATH={path}', f'PORT={free_port()}',
        f'PYTHONPATH={tmp_path}', 'bash', 'tools/dist_train.sh', config, '2',
        '--work-dir', tmp_path / 'run', '--cfg-options',
        *data_options(synthetic), 'env_cfg.dist_cfg.backend=gloo',
        'train_cfg.max_epochs=1', 'train_dataloader.batch_size=2',
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert 'out of luck' in done.output


@pytest.fixture
def broken(synthetic, tmp_path):
    """A copy of the dataset, to be damaged."""
    return shutil.copytree(synthetic, tmp_path / 'broken')


def rewrite(folder, change):
    path = ann(folder, 'train')
    with open(path) as file:
        content = json.load(file)
    change(content['annotations'][0])
    with open(path, 'w') as file:
        json.dump(content, file)


def first_image(folder):
    return sorted((folder / 'images/train').iterdir())[0]


BREAKAGES = {
    'a wrong image path': (
        lambda d: shutil.move(d / 'images/train', d / 'elsewhere'),
        r'8 problem.*\n.*images/train/000000000001.jpg does not exist',
    ),
    'a corrupt image': (
        lambda d: first_image(d).write_bytes(first_image(d).read_bytes()[:99]),
        r'000000000001.jpg is truncated',
    ),
    'an annotation without keypoints': (
        lambda d: rewrite(d, lambda a: a.pop('keypoints')),
        r'annotation 1 of image \d+ has no keypoints',
    ),
    'a wrong number of keypoints': (
        lambda d: rewrite(d, lambda a: a.update(keypoints=[1, 1, 2] * 14)),
        r'annotation 1 of image \d+ has 42 numbers in keypoints, expected 51',
    ),
}


@pytest.mark.parametrize('name', BREAKAGES)
def test_bad_data_stop_a_run_before_it_starts(broken, tmp_path, name):
    damage, message = BREAKAGES[name]
    damage(broken)
    work_dir = tmp_path / 'run'
    done = train(broken, work_dir, check=False)
    assert done.returncode != 0
    assert re.search(message, done.stderr)
    assert not work_dir.exists()


def test_sizes_that_disagree_stop_a_run_before_it_starts(synthetic, tmp_path):
    done = train(
        synthetic,
        tmp_path / 'run',
        options=['model.head.decoder.input_size=(320,320)'],
        check=False,
    )
    assert done.returncode != 0
    assert 'model.head.decoder.input_size = (320, 320)' in done.stderr
    assert not (tmp_path / 'run').exists()


def test_a_checkpoint_of_another_model_is_refused(
    synthetic, trained, tmp_path
):
    done = tool(
        'test.py',
        CONFIG,
        trained / 'epoch_1.pth',
        '--work-dir',
        tmp_path,
        '--out-file',
        tmp_path / 'metrics.json',
        '--cfg-options',
        *data_options(synthetic),
        'model.head.num_basic_blocks=2',
        check=False,
    )
    assert done.returncode != 0
    assert 'epoch_1.pth does not fit the model' in done.stderr
    assert 'head.deconv_layers.0.1.0.conv1.weight is missing' in done.stderr
    assert not (tmp_path / 'metrics.json').exists()


@pytest.mark.parametrize(
    'name',
    [
        'train.py',
        'test.py',
        'analysis_tools/visualize.py',
        'dataset_tools/make_synthetic_dataset.py',
    ],
)
def test_help_has_examples(name):
    assert f'python tools/{name}' in tool(name, '--help').stdout


@pytest.mark.parametrize(
    'name', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test']
)
def test_launchers_explain_themselves(name):
    done = run('bash', f'tools/{name}.sh', check=False)
    assert done.returncode == 2
    assert f'tools/{name}.sh' in done.stderr


@pytest.mark.parametrize('name', ['slurm_train', 'slurm_test'])
def test_slurm_gets_every_argument(tmp_path, name):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    done = run(
        'env',
        f'PATH={tmp_path}:{os.defpath}',
        'GPUS=16',
        'SRUN_ARGS=--quotatype=spot --time=1:00',
        'bash',
        f'tools/{name}.sh',
        'part',
        'job name',
        'CONFIG',
        'FOLDER',
        '--amp',
    )
    got = done.stdout.splitlines()
    for argument in (
        '--job-name=job name',
        '--ntasks=16',
        '--gres=gpu:8',
        '--quotatype=spot',
        '--launcher=slurm',
        '--amp',
        'CONFIG',
    ):
        assert argument in got
    assert {'--work-dir=FOLDER', 'FOLDER'} & set(got)


def test_scales_are_compared_with_sizes(synthetic, trained, tmp_path):
    out, plot = tmp_path / 'scales.json', tmp_path / 'scales.png'
    checkpoint = trained / 'epoch_1.pth'
    options = data_options(synthetic)
    tool(
        'analysis_tools/scale_statistics.py', CONFIG, checkpoint,
        '--out-file', out, '--plot', plot, '--cfg-options', *options,
    )  # fmt: skip
    result = json.loads(out.read_text())
    annotations = json.loads(open(ann(synthetic)).read())['annotations']
    assert result['people'] + result['left_out'] == sum(
        not a['iscrowd'] and a['num_keypoints'] > 0 for a in annotations
    )
    for level in ('1/4', '1/2'):
        for key in ('size', 'confidence'):
            found = result[level][key]
            low, high = found['interval']
            assert -1 <= low <= found['rank_correlation'] <= high <= 1
    assert plot.read_bytes().startswith(b'\x89PNG')
    baseline = CONFIG.replace('swahr_', '')
    done = tool(
        'analysis_tools/scale_statistics.py', baseline, checkpoint, check=False
    )
    assert done.returncode != 0


def test_the_ablation_adds_up_and_does_not_run_twice(tmp_path):
    results, page = tmp_path / 'results.json', tmp_path / 'page.md'
    names = 'methods', 'threshold', 'localization', 'assignment', 'curve'
    page.write_text(
        '\n'.join(
            f'<!-- table: {name} -->\n<!-- end of table -->'
            for name in (*names, 'scales', 'noise', 'parameters')
        )
    )
    command = (
        'analysis_tools/ablation.py', '--work-dir', tmp_path / 'runs',
        '--data', tmp_path / 'data', '--num-train', 4, '--num-val', 3,
        '--results', results, '--page', page, '--epochs', 2,
        '--methods', 'SWAHR', '--measures',
    )  # fmt: skip
    tool(*command, 'metrics')
    run = json.loads(results.read_text())['runs']['SWAHR_2e_seed0']
    assert run['metrics'].keys() >= {'coco/AP', 'coco/AP (M)'}
    assert run['curve'][-1][0] == 2
    assert '| SWAHR, 2 epochs, 1 seed |' in page.read_text()
    assert cv2.imread(str(tmp_path / 'page.png')).std() > 0
    log = tmp_path / 'runs/SWAHR_2e_seed0/log.txt'
    before = log.stat().st_mtime_ns
    tool(*command, 'metrics')
    assert log.stat().st_mtime_ns == before, 'nothing was left to run'
    tool(*command, 'metrics', 'localization', 'scales')
    more = json.loads(results.read_text())['runs']['SWAHR_2e_seed0']
    assert more['metrics'] == run['metrics']
    assert more['localization']['found'] >= 0
    assert {'1/4', '1/2'} <= more['scales'].keys()
    done = tool(*command, 'metrics', '--num-val', 9, check=False)
    assert done.returncode != 0
    assert 'choose another file with --results' in done.stderr


def test_the_benchmark_compares_both_sides(tmp_path):
    out = tmp_path / 'speed.json'
    done = tool(
        'analysis_tools/benchmark.py',
        '--rows',
        'encode',
        'sample',
        '--repeats',
        2,
        '--out-file',
        out,
    )
    assert '| encode, two levels, 30 people |' in done.stdout
    content = json.loads(out.read_text())
    assert content['hardware']['torch']
    for row in content['rows']:
        assert row['ratio'] == pytest.approx(row['old_ms'] / row['new_ms'])
    three = content['networks'][1]
    assert three['name'] == 'training sample, W32-512, 3 people'
    # Dense: two float32 levels of 17 maps. Sparse: less than a tenth.
    assert three['dense targets, kB'] > 4 * 17 * (128**2 + 256**2) / 1e3
    assert three['sparse targets, kB'] < three['dense targets, kB'] / 10


def test_the_benchmark_measures_the_shares_of_data_loading(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(3):
        image = rng.integers(0, 255, (60, 80, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'{n}.png'), image)
    out = tmp_path / 'speed.json'
    tool(
        'analysis_tools/benchmark.py', '--rows', 'loader', '--repeats', 2,
        '--images', tmp_path, '--out-file', out,
    )  # fmt: skip
    (row,) = json.loads(out.read_text())['networks']
    assert row.pop('name') == 'data loading, W32-512, 3 images'
    assert row['images/s'] > 0
    shares = {k: v for k, v in row.items() if k.endswith(', %')}
    assert {'BottomupLoadImage, %', 'MMPose GenerateTarget, %'} <= set(shares)
    for side in (False, True):
        total = sum(
            v for k, v in shares.items() if k.startswith('MMPose') == side
        )
        assert 80 < total < 120  # medians of shares


def test_the_story_has_its_figures_and_numbers(tmp_path):
    tool('dev/explain_swahr.py', '--out-dir', tmp_path)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [
        'fixed_sigma.png',
        'learned_scale.png',
        'story.json',
        'weights.png',
    ]
    numbers = json.loads((tmp_path / 'story.json').read_text())
    small, large = numbers['fixed_sigma'].values()
    for person, crowded in ((small, True), (large, False)):
        assert (person['head_width_in_sigmas'] < 2) == crowded
        assert (person['other_keypoints_under_a_gaussian'] > 1) == crowded
    for scales in numbers['learned_scale'].values():
        values = list(scales.values())
        assert values == sorted(values)
        assert scales['1.00'] == pytest.approx(1, abs=1e-4)
    ends = [max(s.values()) for s in numbers['learned_scale'].values()]
    assert ends == sorted(ends)  # a smaller lambda lets scales go further
    without, weighted = (
        numbers['weights'][f'share_of_loss_{w}_weights']
        for w in ('without', 'with')
    )
    assert weighted['gaussians'] > without['gaussians']
    assert weighted['rest'] < without['rest'] / 2


def test_memory_is_estimated_by_image_and_batch():
    per_image = {}
    for amp in ([], ['--amp', '--gpu', '8']):
        done = tool(
            'analysis_tools/estimate_memory.py',
            CONFIG,
            '--batch-size',
            2,
            *amp,
        )
        per_image[bool(amp)] = float(
            re.search(r'per image of 256 x 256: (\S+) GiB', done.stdout)[1]
        )
    assert 0 < per_image[True] < per_image[False]
    assert re.search(r'largest batch on a GPU of 8 GiB: \d+', done.stdout)

"""Checkpoints of other code bases, from file to poses, with the tools."""

import json
import shutil

import numpy as np
import pytest
import torch
from helpers import ROOT
from helpers.codecs import COCO_ORDER
from helpers.models import small_hrnet, to_0x
from helpers.tools import tool
from PIL import Image

from swahr_mmpose.checkpoints.io import file_sha256, read_checkpoint

pytestmark = pytest.mark.slow
LEAF = 'configs/coco/swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py'
CONFIG = """
_base_ = {base!r}
size = ({side}, {side})
codec = dict(
    type='ScaleAwareAssociativeEmbedding',
    input_size=size,
    heatmap_sizes=[({quarter}, {quarter}), ({half}, {half})],
    decode_keypoint_order={order},
    decode_keypoint_thr=0.1,
)
backbone = dict(
    _delete_=True, type='HRNet', in_channels=3, extra=dict({extra})
)
head = dict(
    in_channels=8, num_keypoints={keypoints}, num_basic_blocks=1, decoder=codec
)
model = dict(backbone=backbone, head=head)
resize = dict(
    type='BottomupPyramidResize', input_size=size, scales={scales}
)
pipeline = [
    dict(type='BottomupLoadImage'), resize, dict(type='BottomupPackInputs')
]
train_dataloader = val_dataloader = train_cfg = val_cfg = None
optim_wrapper = val_evaluator = param_scheduler = None
dataset = dict(
    _delete_=True,
    type={dataset!r},
    data_mode='bottomup',
    test_mode=True,
    ann_file={ann_file!r},
    data_prefix=dict(img={images!r}),
    pipeline=pipeline,
)
test_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dataset
)
test_evaluator = dict(
    _delete_=True,
    type='CocoMetric',
    ann_file={ann_file!r},
    score_mode='bbox',
    nms_mode='none',
    format_only=True,
    outfile_prefix={prefix!r},
)
"""


def write_config(folder, side, keypoints, scales, modules, image):
    """Write a config of the small reference model for a single image."""
    content = dict(
        images=[
            dict(id=7, file_name=image[0], width=image[1], height=image[2])
        ],
        categories=[dict(id=1, name='person')],
    )
    ann_file = folder / 'image.json'
    ann_file.write_text(json.dumps(content))
    path = folder / 'small.py'
    path.write_text(
        CONFIG.format(
            base=str(ROOT / LEAF),
            side=side,
            quarter=side // 4,
            half=side // 2,
            order=COCO_ORDER[:keypoints],
            extra=f'**{small_hrnet(modules).extra!r}',
            keypoints=keypoints,
            scales=tuple(scales),
            dataset='CocoDataset' if keypoints == 17 else 'CrowdPoseDataset',
            ann_file=str(ann_file),
            images=str(folder),
            prefix=str(folder / 'results'),
        )
    )
    return path


def official_file(path, golden_folder, model):
    """Write the official checkpoint of a reference model, with DDP keys."""
    weights = np.load(golden_folder / 'model.npz')
    heads = np.load(golden_folder / 'pipeline.npz')
    prefix = f'{model[:3]}/state_dict/'
    state = {k[len(prefix) :]: weights[k] for k in weights if prefix in k}
    for key in heads:
        if key.startswith(f'{model}/final_layers'):
            state[key.split('/')[1]] = heads[key]
    wrapped = {
        f'module.{k}': torch.from_numpy(np.asarray(v))
        for k, v in state.items()
    }
    torch.save(dict(epoch=300, state_dict=wrapped, perf=0.7), path)


@pytest.mark.parametrize('case', ['img1_single', 'img1_multi'])
def test_a_converted_official_model_gives_the_official_poses(
    shared, tmp_path, case
):
    golden = shared / 'golden'
    z = np.load(golden / 'pipeline.npz')
    name = str(z[f'{case}/image_file']).replace('/', '_')
    shutil.copy(golden / 'images' / name, tmp_path / name)
    model = str(z[f'{case}/model'])
    official_file(tmp_path / 'model_best.pth.tar', golden, model)
    with Image.open(tmp_path / name) as image:
        width, height = image.size
    config = write_config(
        tmp_path,
        int(z[f'{case}/input_size']),
        int(model[1:3]),
        z[f'{case}/scales'].tolist(),
        1,
        (name, width, height),
    )
    source, ours = tmp_path / 'model_best.pth.tar', tmp_path / 'ours.pth'
    convert = 'deployment/convert_checkpoint.py'
    done = tool(convert, source, ours, '--config', config)
    assert "layout official, 'state_dict' removed, 'module.'" in done.stdout
    # Of assignments of equal cost, the reference arrays hold this choice.
    official = ('--decode-assignment', 'official')
    tool('test.py', config, ours, '--work-dir', tmp_path, *official)
    results = json.loads((tmp_path / 'results.keypoints.json').read_text())
    keypoints = np.array([r['keypoints'] for r in results])
    keypoints = keypoints.reshape(-1, 17, 3)
    expected = z[f'{case}/worker_keypoints'].reshape(-1, 17, 3)
    assert len(keypoints) == len(expected)
    detected = expected[..., 2] > 0
    np.testing.assert_allclose(
        keypoints[detected], expected[detected], rtol=0, atol=1e-3
    )
    np.testing.assert_allclose(
        [r['score'] for r in results], z[f'{case}/worker_scores'], atol=1e-4
    )


def test_conversion_stores_the_origin(official, tmp_path):
    source, target = tmp_path / 'x.pth.tar', tmp_path / 'y.pth'
    torch.save({f'1.{k}': v for k, v in official.items()}, source)
    tool('deployment/convert_checkpoint.py', source, target)
    content = read_checkpoint(target)
    assert content['meta']['source'] == dict(
        file='x.pth.tar',
        sha256=file_sha256(source),
        layout='official',
        taken_off=['1.'],
        from_half=False,
    )
    back = tmp_path / 'z.pth'
    tool('deployment/convert_checkpoint.py', target, back, '--to', 'official')
    state = read_checkpoint(back)
    assert list(state) == list(official)
    assert all(torch.equal(state[k], official[k]) for k in state)


def test_what_cannot_be_converted_is_named_and_nothing_written(
    official, tmp_path
):
    target = tmp_path / 'y.pth'
    source = tmp_path / 'x.pth'
    complete = tmp_path / 'complete.pth'
    torch.save(official, complete)
    cases = {}
    official['final_layers.1.weight'] = torch.zeros(14, 8, 1, 1)
    torch.save(official, source)
    cases['(34, 8, 1, 1)'] = source
    cases['is not a checkpoint'] = ROOT / 'README.md'
    truncated = tmp_path / 'truncated.pth'
    truncated.write_bytes(complete.read_bytes()[:20000])
    cases['truncated or damaged'] = truncated
    cases['does not exist'] = tmp_path / 'none.pth'
    for message, path in cases.items():
        done = tool(
            'deployment/convert_checkpoint.py', path, target, check=False
        )
        assert done.returncode == 1
        assert message in done.stderr
        assert 'Traceback' not in done.stderr
        assert not target.exists()
    done = tool(
        'deployment/convert_checkpoint.py',
        complete,
        target,
        '--config',
        LEAF,
        check=False,
    )
    assert done.returncode == 1
    assert 'does not fit the model' in done.stderr
    assert 'swahr convert' not in done.stderr  # it is this command
    assert not target.exists()


def test_mmpose_0x_files_and_back_from_ours(official, tmp_path):
    source, target = tmp_path / 'zoo.pth', tmp_path / 'y.pth'
    torch.save(dict(meta=dict(epoch=1), state_dict=to_0x(official)), source)
    done = tool('deployment/convert_checkpoint.py', source, target)
    assert 'layout mmpose-0.x' in done.stdout
    assert 'without scale branch' in done.stdout
    again = tmp_path / 'z.pth'
    options = ('--to', 'mmpose-0.x')
    tool('deployment/convert_checkpoint.py', target, again, *options)
    content = torch.load(again, weights_only=True)
    assert content['meta']['source']['layout'] == 'mmpose'
    for key, value in to_0x(official).items():
        assert torch.equal(content['state_dict'][key], value)


def test_publishing_names_the_file_by_its_content(official, tmp_path):
    source = tmp_path / 'epoch_300.pth'
    torch.save(official, source)
    arguments = (source, tmp_path / 'zoo/swahr', '--date', '20260101')
    done = tool('deployment/publish_model.py', *arguments)
    (published,) = (tmp_path / 'zoo').iterdir()
    digest = file_sha256(published)
    assert published.name == f'swahr-{digest[:8]}_20260101.pth'
    assert digest in done.stdout
    again = tool('deployment/publish_model.py', *arguments, check=False)
    assert again.returncode == 1
    assert 'is not overwritten' in again.stderr
    tool('deployment/publish_model.py', *arguments, '--strip-scale-maps')
    assert len(list((tmp_path / 'zoo').iterdir())) == 2


def write_crowdpose(tmp_path):
    """Write two files of one image; the second swaps width and height."""
    names = []
    for n, (w, h) in enumerate([(40, 30), (30, 40)]):
        Image.new('RGB', (w, h)).save(tmp_path / f'{n}.jpg')
        image = dict(
            id=n, file_name=f'{n}.jpg', width=40, height=30, crowdIndex=0.5
        )
        person = dict(
            id=1,
            image_id=n,
            category_id=1,
            bbox=[1, 1, 20, 20],
            keypoints=[5, 5, 2] * 14,
            num_keypoints=14,
            iscrowd=0,
        )
        names.append(tmp_path / f'{n}.json')
        names[-1].write_text(
            json.dumps(
                dict(
                    images=[image],
                    annotations=[person],
                    categories=[dict(id=1, name='person')],
                )
            )
        )
    return names


def test_crowdpose_files_are_checked_and_merged(tmp_path):
    names = write_crowdpose(tmp_path)
    merged = tmp_path / 'both.json'
    done = tool(
        'dataset_tools/merge_annotations.py', *names, '--out-file', merged
    )
    assert '2 images (1 + 1), 2 annotations' in done.stdout
    content = json.loads(merged.read_text())
    assert [a['id'] for a in content['annotations']] == [1, 2]
    check = (merged, '--img-dir', tmp_path, '--crowdpose')
    done = tool('dataset_tools/check_dataset.py', *check, check=False)
    assert done.returncode == 1
    assert '1.jpg is 30 x 40' in done.stderr
    assert 'width and height are swapped' in done.stderr
    content['images'][1].update(width=30, height=40)
    merged.write_text(json.dumps(content))
    assert (
        'no problem found'
        in tool('dataset_tools/check_dataset.py', *check).stdout
    )
    del content['images'][0]['crowdIndex']
    merged.write_text(json.dumps(content))
    done = tool('dataset_tools/check_dataset.py', *check, check=False)
    assert 'image 0 has no crowdIndex' in done.stderr

"""Training and testing on the same few images."""

import json

import pytest
from helpers.tools import tool

from swahr_mmpose.commands.overfit import select

CONFIG = (
    'configs/synthetic/swahr_higherhrnet-tiny_1xb4-80e_synthetic-128x128.py'
)


def make_annotations(tmp_path, people):
    """Write annotations, a person each: labelled keypoints and height."""
    content = dict(
        images=[dict(id=n, file_name=f'{n}.jpg') for n in range(len(people))],
        annotations=[
            dict(
                image_id=n,
                keypoints=[1, 1, 2] * visible + [0, 0, 0] * (17 - visible),
                bbox=[0, 0, 10, height],
            )
            for n, (visible, height) in enumerate(people)
        ],
        categories=[],
    )
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    return str(path)


def test_images_with_few_keypoints_or_small_people_are_not_selected(tmp_path):
    path = make_annotations(tmp_path, [(4, 90), (5, 90), (17, 20), (17, 90)])
    content = select(path, max_images=8, min_height=50)
    assert [image['id'] for image in content['images']] == [1, 3]
    assert [a['image_id'] for a in content['annotations']] == [1, 3]
    assert len(select(path, max_images=1, min_height=0)['images']) == 1


@pytest.mark.slow
@pytest.mark.parametrize(('target', 'status'), [(0, 0), (1.5, 1)])
def test_the_status_says_whether_the_target_is_reached(
    synthetic, tmp_path, target, status
):
    done = tool(
        'analysis_tools/overfit.py', CONFIG, '--ann-file',
        synthetic / 'annotations/person_keypoints_train.json', '--img-dir',
        synthetic / 'images/train', '--max-images', 2, '--epochs', 2,
        '--target-ap', target, '--work-dir', tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    said = done.stdout.splitlines()[-1]
    assert 'on 2 images after 2 epochs' in said
    assert said.endswith('reached 0.0' if status == 0 else 'below 1.5')

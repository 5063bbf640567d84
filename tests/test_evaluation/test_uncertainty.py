import json
import math

import numpy as np
import pytest
from helpers.tools import CONFIG, data_options, save_random_weights

from swahr_mmpose.commands.evaluate_uncertainty import main
from swahr_mmpose.evaluation.uncertainty import (
    KeypointErrors,
    bootstrap_intervals,
    concatenate_errors,
    match_keypoints,
    summarize_order,
)

SIGMAS = np.full(3, 0.1)
TRUE = np.array([[[10, 10], [20, 20], [30, 30.0]]] * 2)
TRUE[1] += 100


def match(keypoints, found=None, labelled=None):
    found = np.ones(keypoints.shape[:2], bool) if found is None else found
    labelled = np.ones((2, 3), bool) if labelled is None else labelled
    areas = np.array([400.0, 400.0])
    return match_keypoints(keypoints, found, TRUE, labelled, areas, SIGMAS)


def test_people_are_matched_and_found_labelled_keypoints_compared():
    found = np.ones((2, 3), bool)
    found[1, 0] = False
    labelled = np.ones((2, 3), bool)
    labelled[1, 2] = False
    predicted = TRUE[::-1] + [3, 4]
    n, g, k, distances = match(predicted, found, labelled)
    assert sorted(zip(n.tolist(), g.tolist(), k.tolist())) == [
        (0, 1, 0), (0, 1, 1), (1, 0, 1), (1, 0, 2)
    ]  # fmt: skip
    np.testing.assert_allclose(distances, 5)


def test_people_far_from_all_others_are_no_match():
    for predicted in (TRUE + 1000, TRUE[:0]):
        assert all(len(part) == 0 for part in match(predicted))


def test_the_order_of_errors_is_summarized():
    errors = np.arange(10.0)
    best = summarize_order(errors, errors**2)
    assert best['rank_correlation'] == pytest.approx(1)
    assert (best['mean_surest'], best['mean_others']) == (2, 7)
    assert (best['median_surest'], best['median_others']) == (2, 7)
    worst = summarize_order(errors, -errors)
    assert worst['rank_correlation'] == pytest.approx(-1)
    assert worst['mean_surest'] == 7
    assert all(
        map(math.isnan, summarize_order(errors[:0], errors[:0]).values())
    )


def make_keypoints(num_images, per_image, correlation):
    rng = np.random.default_rng(0)
    count = num_images * per_image
    errors = rng.normal(size=count)
    noise = rng.normal(size=count)
    estimate = correlation * errors + (1 - abs(correlation)) * noise
    images = np.repeat(np.arange(num_images), per_image)
    return KeypointErrors(errors, dict(sigma=estimate), images)


def test_intervals_contain_the_value_and_shrink_with_more_images():
    widths = []
    for num_images in (10, 200):
        keypoints = make_keypoints(num_images, 5, 0.4)
        value = summarize_order(keypoints.errors, keypoints.estimates['sigma'])
        intervals = bootstrap_intervals(keypoints, 'sigma', 200)
        for name, (low, high) in intervals.items():
            assert low <= value[name] <= high
        low, high = intervals['rank_correlation']
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_keypoints_of_an_image_are_resampled_together():
    """Copies of each keypoint in its image do not narrow the interval."""
    one = make_keypoints(30, 1, 0.5)
    copied = KeypointErrors(
        np.repeat(one.errors, 20),
        dict(sigma=np.repeat(one.estimates['sigma'], 20)),
        np.repeat(one.images, 20),
    )
    first, second = (
        bootstrap_intervals(k, 'sigma', 300)['rank_correlation']
        for k in (one, copied)
    )
    np.testing.assert_allclose(first, second, atol=0.02)


def test_without_keypoints_there_is_no_interval():
    none = concatenate_errors([make_keypoints(0, 5, 0.4)] * 2)
    assert set(bootstrap_intervals(none, 'sigma', 10).values()) == {None}


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Random weights that detect people everywhere."""
    return save_random_weights(tmp_path_factory.mktemp('weights'))


def test_the_command_measures_a_split(synthetic, checkpoint, tmp_path, capsys):
    options = [CONFIG, checkpoint, '--max-images', '2', '--resamples', '20']
    options += ['--device', 'cpu', '--out-file', str(tmp_path / 'a.json')]
    main([*options, '--cfg-options', *data_options(synthetic)])
    result = json.loads((tmp_path / 'a.json').read_text())
    assert set(result['estimates']) == {'sigma', '1 - score', 'size'}
    assert 0 < result['images'] <= 2
    printed = capsys.readouterr().out
    assert f'{result["keypoints"]} keypoints of ' in printed
    assert 'rank correlation' in printed


def test_the_command_refuses_a_model_without_scale_branch(
    synthetic, checkpoint
):
    plain = [
        'model.head.scale_maps=False',
        'model.head.keypoint_loss.scale_adaptive=False',
    ]
    options = [CONFIG, checkpoint, '--device', 'cpu']
    with pytest.raises(SystemExit, match='scale'):
        main([*options, '--cfg-options', *data_options(synthetic), *plain])

"""Names, skeleton edges and grouping order of custom skeletons."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from swahr_mmpose.datasets.custom.keypoint_names import (
    UNIFORM_SIGMA,
    choose_sigmas,
    find_flip_pairs,
    split_side,
)
from swahr_mmpose.datasets.custom.metainfo import (
    compute_stability,
    find_grouping_order,
    make_dataset_info,
    parse_links,
)
from swahr_mmpose.datasets.custom.skeleton import (
    SkeletonOptions,
    compute_pose_statistics,
    make_skeleton,
    merge_categories,
    read_keypoint_names,
)
from swahr_mmpose.datasets.synthetic import KEYPOINT_NAMES, KINDS
from swahr_mmpose.datasets.synthetic.coco_records import SKELETON

BEETLE = KINDS['beetles']


@pytest.mark.parametrize(
    ('left', 'right'),
    [
        ('left_eye', 'right_eye'),
        ('L_Eye', 'R_Eye'),
        ('l-eye', 'r-eye'),
        ('eye.L', 'eye.R'),
        ('eyeLeft', 'eyeRight'),
        ('LeftEye', 'RightEye'),
        ('lEye', 'rEye'),
        ('LEye', 'REye'),
        ('front_left_paw', 'front_right_paw'),
        ('frontLPaw', 'frontRPaw'),
        ('Left Hip', 'Right Hip'),
        ('lefteye', 'righteye'),
        ('eyeleft', 'eyeright'),
        ('LEFT_EYE', 'RIGHT_EYE'),
        ('left_leg_2', 'right_leg_2'),
        ('leg2L', 'leg2R'),
        ('lknee', 'rknee'),
        ('LKNEE', 'RKNEE'),
    ],
)
def test_both_sides_of_a_name_are_a_pair(left, right):
    names = ['tail', right, 'nose', left]
    found = find_flip_pairs(names)
    assert found[:3] == ([(3, 1)], [], [])
    assert len(found.reasons) == 1


def test_people_animals_and_beetles_have_their_pairs():
    for names, count in (
        (KEYPOINT_NAMES, 8),
        (BEETLE.keypoints, 3),
        (['L_Eye', 'R_Eye', 'Nose', 'L_F_Paw', 'R_F_Paw', 'L_B_Paw'], 2),
    ):
        pairs, undecided, proposed, _ = find_flip_pairs(names)
        assert len(pairs) == count
        assert not undecided
        assert not proposed


def test_numbered_legs_do_not_get_mixed_up():
    names = ['leg_1_left', 'leg_2_left', 'leg_1_right', 'leg_2_right']
    assert find_flip_pairs(names).pairs == [(0, 2), (1, 3)]


@pytest.mark.parametrize(
    ('names', 'undecided'),
    [
        (['left_eye', 'nose'], ['left_eye']),
        (['left_right_border', 'nose'], ['left_right_border']),
        (['left_eye', 'LeftEye', 'right_eye'], 3),
        (['L1', 'L2', 'sacrum'], []),  # vertebrae, not sides
        (['1', '2', '3'], []),
        (['lip', 'chin', 'leg'], []),
        (['l_x', 'L_x', 'r_x'], 3),
        (['LL', 'LR', 'RL', 'RR'], 4),
        (['bright', 'dark'], []),
        (['upright', 'cleft', 'leftover', 'nose'], []),
    ],
)
def test_names_without_a_unique_partner_are_undecided(names, undecided):
    pairs, found, proposed, _ = find_flip_pairs(names)
    assert not pairs
    assert not proposed
    expected = undecided if isinstance(undecided, list) else names
    assert found == expected


@pytest.mark.parametrize(
    ('names', 'pairs'),
    [
        (['load', 'road', 'nose'], [(0, 1)]),
        (['ramp', 'lamp'], [(1, 0)]),
        (['FL', 'FR', 'RL', 'RR'], [(0, 1), (2, 3)]),
        (['LF', 'RF', 'LH', 'RH'], [(0, 1), (2, 3)]),
        (['wheelFL', 'wheelFR'], [(0, 1)]),
        (['front_lwheel', 'front_rwheel'], [(0, 1)]),
    ],
)
def test_twins_by_spelling_have_to_be_confirmed(names, pairs):
    found = find_flip_pairs(names)
    assert found.pairs == []
    assert [proposal[:2] for proposal in found.proposed] == pairs
    words = [f'{names[a]}:{names[b]}' for a, b in pairs]
    with pytest.raises(ValueError, match=words[0]) as error:
        make(names)
    assert f'--flip-pairs {" ".join(words)}\n' in str(error.value)
    assert '--flip-pairs none\n' in str(error.value)
    assert 'letters l and r of a word' in str(error.value)
    assert make(names, flip_pairs=words).pairs == pairs
    assert make(names, flip='off').pairs == []
    assert not make(names, flip_pairs=['none']).flip


def test_certain_pairs_are_in_the_command_that_confirms_others():
    names = ['left_eye', 'right_eye', 'load', 'road']
    with pytest.raises(ValueError, match='alike by chance') as error:
        make(names)
    both = '--flip-pairs left_eye:right_eye load:road\n'
    assert both in str(error.value)
    assert '--flip-pairs left_eye:right_eye\n' in str(error.value)


def test_reasons_of_pairs_are_reported():
    skeleton = make(['left_a', 'right_a', 'L_b', 'R_b', 'lknee', 'rknee'])
    assert skeleton.format_pairs() == [
        'left_a:right_a (the words left and right)',
        'L_b:R_b (the separate letters L and R)',
        'lknee:rknee (the first letters l and r of a word)',
    ]


def test_names_may_have_colons():
    names = ['paw:left', 'paw:right', 'a', 'b', 'a:b']
    skeleton = make(
        names,
        flip_pairs=['paw:left:paw:right'],
        skeleton=['paw:left:a', 'a:b', 'a:b:a'],
    )
    assert skeleton.pairs == [(0, 1)]
    assert skeleton.links == [(0, 2), (2, 3), (4, 2)]
    with pytest.raises(ValueError, match='a:b:c, which is ambiguous'):
        make(['a:b', 'c', 'a', 'b:c'], skeleton=['a:b:c'])


@pytest.mark.parametrize('skeleton', [[[1, None]], [None], [5], [[1, []]], 7])
def test_malformed_edges_are_named(skeleton):
    with pytest.raises(ValueError, match='skeleton'):
        parse_links(skeleton, ['a', 'b'])


def test_one_keypoint_is_not_offered_an_edge_to_itself():
    with pytest.raises(ValueError, match='none: --skeleton none$'):
        parse_links([[1, 2]], ['a'])


def category(name, **keys):
    return dict(name=name, keypoints=['a', 'b'], **keys)


def test_categories_with_one_skeleton_are_merged():
    merged = merge_categories(
        [category('cat'), category('dog', skeleton=[[1, 2]])]
    )
    assert merged == category('cat dog', skeleton=[[1, 2]])
    assert merge_categories([]) == {}


def test_categories_with_several_skeletons_are_refused():
    cat, fish = category('cat'), dict(name='fish', keypoints=['fin'])
    with pytest.raises(ValueError, match="'fish' has the keypoints"):
        merge_categories([cat, fish])
    assert merge_categories([cat, fish], ['x'])['name'] == 'cat fish'
    edges = [category(n, skeleton=[e]) for n, e in ('a1', 'b2')]
    with pytest.raises(ValueError, match='differ in "skeleton"'):
        merge_categories(edges)
    merge_categories(edges, skeleton=['none'])


@given(st.lists(st.text('lrLRef_ 1x', max_size=8), unique=True, max_size=6))
def test_pairs_of_any_names_are_disjoint(names):
    pairs, undecided, proposed, reasons = find_flip_pairs(names)
    ends = [k for pair in [*pairs, *proposed] for k in pair[:2]]
    assert len(ends) == len(set(ends))
    assert len(reasons) == len(pairs)
    assert not {names[k] for k in ends} & set(undecided)


def test_the_stem_marks_the_place_of_the_side():
    assert split_side('left_eye') == ('left', '* eye')
    assert split_side('eye_left') == ('left', 'eye *')
    assert split_side('tail') == ('', 'tail')


def test_sigmas_are_those_of_coco_for_its_joints_alone():
    sigmas = choose_sigmas(KEYPOINT_NAMES)
    from mmpose.datasets import CocoDataset

    info = dict(CocoDataset.METAINFO)
    assert sigmas == pytest.approx(parse_pose_metainfo(info)['sigmas'])
    assert choose_sigmas(BEETLE.keypoints) == [UNIFORM_SIGMA] * 9
    # Origins are not mixed in one skeleton.
    assert set(choose_sigmas(['nose', 'tail'])) == {UNIFORM_SIGMA}


def test_links_count_from_one_from_zero_or_by_name():
    names = ['a', 'b', 'c']
    for skeleton in ([[1, 2], [2, 3]], [[0, 1], [1, 2]], [['a', 'b'], 'bc']):
        assert parse_links(skeleton, names) == [(0, 1), (1, 2)]
    assert parse_links([[1, 2], [2, 1], [3, 3]], names) == [(0, 1)]


@pytest.mark.parametrize('skeleton', [[[1, 4]], [[0, 3]], [['a', 'x']], [[1]]])
def test_a_link_to_nowhere_is_an_error(skeleton):
    with pytest.raises(ValueError, match='not a pair of the 3 keypoints'):
        parse_links(skeleton, ['a', 'b', 'c'])


def test_a_chain_is_grouped_from_its_middle_outwards():
    links = [(0, 1), (1, 2), (2, 3), (3, 4)]
    even = compute_stability(np.ones(5), np.ones(5), links)
    order = find_grouping_order(even, links, [])
    assert order[0] == 2
    assert set(order[1:3]) == {1, 3}


def test_rare_or_spread_keypoints_do_not_start():
    links = [(0, 1), (1, 2), (2, 3), (3, 4)]
    seldom = compute_stability(np.array([1, 1, 0.2, 1, 1]), np.ones(5), links)
    straying = compute_stability(
        np.ones(5), np.array([1, 1, 9, 1, 1.0]), links
    )
    for stable in (seldom, straying):
        assert find_grouping_order(stable, links, [])[0] != 2


def test_a_pair_is_one_step():
    stable = np.array([0.9, 0.1, 0.5, 0.8])
    assert find_grouping_order(stable, [], [(0, 1)]) == [3, 0, 1, 2]


def test_without_links_the_most_stable_come_first():
    stable = np.array([0.2, 0.9, 0.5])
    assert find_grouping_order(stable, [], []) == [1, 2, 0]


@st.composite
def skeletons(draw):
    count = draw(st.integers(1, 9))
    end = st.integers(0, count - 1)
    links = draw(st.lists(st.tuples(end, end), max_size=12))
    share = st.floats(0, 1)
    frequency = draw(st.lists(share, min_size=count, max_size=count))
    spread = draw(st.lists(share, min_size=count, max_size=count))
    pairs = [(k, k + 1) for k in range(0, draw(end), 2) if k + 1 < count]
    return links, np.array(frequency), np.array(spread), pairs


@given(skeletons())
def test_an_order_holds_each_keypoint_once_and_grows_along_links(skeleton):
    links, frequency, spread, pairs = skeleton
    stable = compute_stability(frequency, spread, links)
    assert np.isfinite(stable).all()
    assert (stable <= 1 + 1e-9).all()
    order = find_grouping_order(stable, links, pairs)
    assert sorted(order) == list(range(len(frequency)))
    for left, right in pairs:
        assert order.index(right) == order.index(left) + 1
    if pairs:
        return
    for n in range(1, len(order)):  # linked, or nothing left was
        before = set(order[:n])
        near = {k for link in links if set(link) & before for k in link}
        assert order[n] in near or not near - before


def test_people_are_grouped_from_the_trunk_to_the_limbs(shared):
    """As in the official order: head and trunk, arms, legs."""
    path = shared / 'data/coco_mini/annotations/person_keypoints_train.json'
    people = json.loads(path.read_text())['annotations']
    labelled = [a['keypoints'] for a in people if a['num_keypoints']]
    skeleton = make_skeleton(
        dict(skeleton=SKELETON),
        KEYPOINT_NAMES,
        np.reshape(np.array(labelled, float), (-1, 17, 3)),
        SkeletonOptions(),
    )
    rank = {KEYPOINT_NAMES[k]: n for n, k in enumerate(skeleton.order)}
    for side in ('left', 'right'):
        for chain in (
            ('shoulder', 'elbow', 'wrist'),
            ('hip', 'knee', 'ankle'),
            ('shoulder', 'hip'),
            ('ear', 'knee'),
        ):
            ranks = [rank[f'{side}_{part}'] for part in chain]
            assert ranks == sorted(ranks)
    assert rank['nose'] < rank['left_wrist']


def test_the_mean_pose_forgets_place_and_size():
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(5, 2))
    people = np.ones((20, 5, 3))
    for person in people:
        person[:, :2] = shape * rng.uniform(1, 50) + rng.uniform(0, 99, 2)
    frequency, mean, spread = compute_pose_statistics(people)
    assert frequency == pytest.approx(1)
    assert spread == pytest.approx(0, abs=1e-6)
    centred = shape - shape.mean(0)
    size = np.sqrt((centred**2).sum(1).mean())
    assert mean == pytest.approx(centred / size, abs=1e-6)


@pytest.mark.parametrize('labelled', [0, 1])
@pytest.mark.parametrize('count', [0, 1, 3])
def test_statistics_of_next_to_nothing_are_finite(count, labelled):
    keypoints = np.full((count, 4, 3), 7.0)
    keypoints[..., 2] = 0
    keypoints[:, 0, 2] = labelled
    for values in compute_pose_statistics(keypoints):
        assert np.isfinite(values).all()


def test_mmpose_reads_the_metainfo():
    names = BEETLE.keypoints
    links = parse_links(BEETLE.skeleton, names)
    pairs = find_flip_pairs(names).pairs
    info = make_dataset_info(
        'beetle', names, links, pairs, [0.05] * 9, [True] * 4 + [False] * 5
    )
    parsed = parse_pose_metainfo(info)
    assert parsed['num_keypoints'] == 9
    assert parsed['flip_indices'] == [0, 1, 2, 4, 3, 6, 5, 8, 7]
    assert [tuple(link) for link in parsed['skeleton_links']] == links
    assert parsed['upper_body_ids'] == [0, 1, 2, 3]
    assert parsed['keypoint_colors'].shape == (9, 3)
    assert parsed['sigmas'] == pytest.approx(0.05)


def make(names, category=(), **given):
    keypoints = np.ones((2, len(names), 3))
    return make_skeleton(
        dict(category), names, keypoints, SkeletonOptions(**given)
    )


def test_flipping_needs_pairs_or_the_option():
    assert not make(['a', 'b']).flip
    assert make(['a', 'b'], flip='on').flip
    assert make(['left_a', 'right_a']).flip
    assert not make(['left_a', 'right_a'], flip='off').flip
    assert make(['a', 'b'], flip_pairs=['a:b']).pairs == [(0, 1)]
    assert not make(['left_a', 'b'], flip_pairs=['none']).flip
    assert make(['left_a', 'b'], flip_pairs=['none'], flip='on').flip
    # Without flipping no pairs are needed.
    assert not make(['left_a', 'b'], flip='off').flip


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ({}, r'(?s)flip pairs of left_a.*--flip off'),
        ({'flip_pairs': ['left_a:c']}, 'expected two of left_a, b'),
        ({'flip_pairs': ['left_a:left_a']}, 'expected two of'),
        ({'flip_pairs': ['left_a:b', 'b:left_a']}, 'is in two pairs'),
        ({'flip': 'off', 'skeleton': ['b']}, '--skeleton b, which is no such'),
        ({'flip': 'off', 'sigmas': [0.1, 0.1, 0.1]}, 'one number above 0 or'),
        ({'flip': 'off', 'sigmas': [0.0]}, 'one number above 0 or'),
        ({'flip': 'off', 'keypoint_order': ['b']}, 'expected each of'),
    ],
)
def test_invalid_options_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        make(['left_a', 'b'], **given)


def test_edges_of_another_dataset_can_be_ignored():
    """CrowdPose's files have the skeleton edges of COCO."""
    category = {'skeleton': [[16, 14], [1, 2]]}
    with pytest.raises(ValueError, match='--skeleton none'):
        make(['a', 'b'], category)
    assert make(['a', 'b'], category, skeleton=['none']).links == []


def test_options_override_what_is_derived():
    skeleton = make(
        ['a', 'b', 'c'],
        {'skeleton': [[1, 2]]},
        skeleton=['b:c'],
        keypoint_order=['c', 'a', 'b'],
        sigmas=[0.1],
    )
    assert skeleton.links == [(1, 2)]
    assert skeleton.order == [2, 0, 1]
    assert skeleton.sigmas == [0.1] * 3
    assert skeleton.sigmas_source == 'given'


@pytest.mark.parametrize(
    'category',
    [
        {},
        {'keypoints': []},
        {'keypoints': ['a', 'a']},
        {'keypoints': 'ab'},
        {'keypoints': [1, 2]},
    ],
)
def test_keypoints_have_unique_names(category):
    with pytest.raises(ValueError, match='keypoints'):
        read_keypoint_names(category)

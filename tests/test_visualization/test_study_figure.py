import pytest

from swahr_mmpose.visualization.study_figure import study_figure


def run(method, ap, epochs=20, **values):
    """A measured run."""
    return dict(
        method=method,
        epochs=epochs,
        curve=[[epochs // 2, ap / 2], [epochs, ap]],
        metrics={'coco/AP': ap},
        **values,
    )


def read_points(axes):
    """Read x and y of the points of a panel, without those of its legend."""
    points = [
        offset
        for collection in axes.collections
        if hasattr(collection, 'get_sizes')
        for offset in collection.get_offsets().tolist()
    ]
    return sorted(points)


def test_each_seed_and_threshold_is_a_point():
    low = {'metrics_at_0.3': {'coco/AP': 0.6}}
    runs = {
        'a': run('baseline', 0.5, **low),
        'b': run('baseline', 0.4),
        'c': run('SWAHR', 0.3),
    }
    curves, points = study_figure(runs).axes
    assert read_points(points) == [
        [pytest.approx(x), y]
        for x, y in ((-0.15, 0.4), (-0.15, 0.5), (0.15, 0.6), (0.85, 0.3))
    ]
    names = [label.get_text() for label in points.get_xticklabels()]
    assert names == ['baseline', 'SWAHR']
    # Curves are the means of the seeds.
    heights = [line.get_ydata().tolist() for line in curves.lines]
    assert heights == [pytest.approx([0.225, 0.45]), [0.15, 0.3]]


def test_lengths_are_not_mixed():
    runs = {
        'a': run('baseline', 0.5),
        'b': run('SWAHR', 0.3),
        'c': run('baseline', 0.9, epochs=80),
    }
    curves, points = study_figure(runs).axes
    assert [y for _, y in read_points(points)] == [0.5, 0.3]
    assert '20 epochs' in points.get_title()
    assert len(curves.lines) == 3, 'both lengths have a curve'
    legend = [text.get_text() for text in curves.get_legend().get_texts()]
    assert legend == ['baseline', 'SWAHR']


def test_a_length_that_three_methods_have_gets_a_panel():
    methods = 'baseline', 'SAHR', 'WAHR', 'SWAHR'
    runs = {m: run(m, 0.4) for m in methods}
    runs.update({f'{m}80': run(m, 0.6, epochs=80) for m in methods[:3]})
    runs['one'] = run('SHR', 0.9, epochs=5)
    _, short, long = study_figure(runs).axes
    assert '20 epochs' in short.get_title()
    assert '80 epochs' in long.get_title()
    assert (len(read_points(short)), len(read_points(long))) == (4, 3)


def test_amounts_of_noise_have_a_panel_each():
    runs = {'a': run('SAHR', 0.5), 'b': run('SAHR-noise4', 0.1)}
    _, normal, noisy = study_figure(runs).axes
    assert [y for _, y in read_points(normal)] == [0.5]
    assert [y for _, y in read_points(noisy)] == [0.1]


@pytest.mark.parametrize('runs', [{}, {'a': dict(method='SAHR', epochs=2)}])
def test_a_study_without_results_has_no_points(runs):
    (curves,) = study_figure(runs).axes
    assert not curves.lines

import pytest

from swahr_mmpose.evaluation.ablation_tables import (
    format_tables,
    replace_tables,
    summarize_methods,
)

CORRELATION = {'rank_correlation': 0.5, 'interval': [0.4, 0.6]}
LEVEL = {
    'size': CORRELATION,
    'confidence': {'rank_correlation': None, 'interval': None},
    'scale_of_thirds_by_size': [0.9, 1.0, 1.1],
    'target_change': 0.01,
    'error': 0.2,
}


def run(method, ap, epochs=80, seed=0, **values):
    """A measured run."""
    return dict(
        method=method,
        seed=seed,
        epochs=epochs,
        curve=[[epochs // 2, ap / 2], [epochs, ap]],
        metrics={'coco/AP': ap, 'coco/AP .75': ap},
        **values,
    )


def test_seeds_give_mean_and_deviation_and_missing_values_a_dash():
    runs = {
        'a': run('baseline', 0.5),
        'b': run('baseline', 0.7, seed=1),
        'c': run('SWAHR', 0.6),
    }
    table = format_tables(runs)['methods'].splitlines()
    assert table[2] == (
        '| baseline, 80 epochs, 2 seeds | 0.600 ± 0.141 | - | '
        '0.600 ± 0.141 | - | - |'
    )
    assert table[3].startswith('| SWAHR, 80 epochs, 1 seed | 0.600 | - |')


def test_lengths_are_never_mixed():
    runs = {
        'a': run('baseline', 0.5, epochs=20),
        'b': run('SWAHR', 0.4, epochs=20),
        'c': run('baseline', 0.9, epochs=80),
    }
    both = ['baseline', 'SWAHR']
    assert summarize_methods(runs, both) == [
        'baseline, 20 epochs, 1 seed: AP 0.500',
        'SWAHR, 20 epochs, 1 seed: AP 0.400',
    ]
    assert summarize_methods(runs, ['baseline']) == [
        'baseline, 80 epochs, 1 seed: AP 0.900'
    ]
    assert len(format_tables(runs)['methods'].splitlines()) == 5


def test_runs_that_are_not_measured_yet_are_left_out():
    runs = {'a': {'method': 'SAHR', 'seed': 0, 'epochs': 20, 'curve': []}}
    assert len(format_tables(runs)['methods'].splitlines()) == 2
    assert summarize_methods(runs, ['SAHR']) == []
    assert all('SAHR' not in table for table in format_tables({}).values())


def test_each_level_of_the_scales_has_a_row():
    scales = {'1/4': LEVEL, '1/2': LEVEL}
    table = format_tables({'a': run('SAHR', 0.5, scales=scales)})['scales']
    lines = table.splitlines()
    assert len(lines) == 4
    assert '| 1/4 | 0.50 (0.40 to 0.60) | - | 0.900 | 1.000 |' in lines[2]
    assert lines[2].endswith('| 5.0 |')


def test_both_assignments_and_other_noise_have_their_tables():
    runs = {
        'a': run('WAHR', 0.5, official_assignment={'coco/AP': 0.4}),
        'b': run('WAHR-noise4', 0.3),
        'c': run('SAHR-lambda0.1', 0.2),
    }
    tables = format_tables(runs)
    assert '| 0.500 | 0.400 |' in tables['assignment']
    assert 'WAHR-noise4' in tables['noise']
    assert 'lambda' not in tables['noise']
    assert 'SAHR-lambda0.1' in tables['parameters']
    assert 'noise4' not in tables['parameters']


def test_the_table_of_noise_is_ordered_by_noise():
    names = 'WAHR', 'baseline-noise4', 'baseline', 'WAHR-noise4', 'SHR'
    names = (*names, 'WAHR-clean')
    table = format_tables({name: run(name, 0.5) for name in names})['noise']
    rows = [line.split(',')[0][2:] for line in table.splitlines()[2:]]
    assert rows[:3] == ['WAHR-clean', 'baseline', 'WAHR']
    assert rows[3:] == ['baseline-noise4', 'WAHR-noise4']


def test_the_table_of_parameters_has_the_noise_of_oks_only():
    names = 'SAHR', 'SAHR-lambda0.1', 'SAHR-lambda0.1-noise4'
    tables = format_tables({name: run(name, 0.5) for name in names})
    assert 'lambda0.1,' in tables['parameters']
    assert 'noise4' not in tables['parameters']
    assert 'SAHR-lambda0.1-noise4' in tables['noise']


def test_tables_are_replaced_between_their_markers():
    page = 'a\n<!-- table: x -->\nold\n<!-- end of table -->\nb\n'
    new = replace_tables(page, {'x': r'| \1 |'})
    assert new == 'a\n<!-- table: x -->\n| \\1 |\n<!-- end of table -->\nb\n'
    assert replace_tables(new, {'x': r'| \1 |'}) == new


def test_a_page_without_the_marker_is_refused():
    with pytest.raises(ValueError, match='has no <!-- table: x -->'):
        replace_tables('<!-- table: y -->', {'x': ''})

"""The matrix of environments: what is installed, resumed and told."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
import matrix  # noqa: E402
from stacks import reading, recipe, tables  # noqa: E402

sys.path.remove(str(ROOT / 'tools'))
ROWS = recipe.read_rows()
JUNIT = """<testsuites><testsuite name="pytest" time="2.6">
<testcase classname="tests.test_a" name="works" time="1"/>
<testcase classname="tests.test_a" name="breaks"><failure
 message="AssertionError: 1 is not 2&#10;more">x</failure>
 <error message="teardown">x</error></testcase>
<testcase classname="tests.test_a" name="waits"><skipped
 message="no pictures"/></testcase>
<testcase classname="tests.test_b" name="waits"><skipped
 message="no pictures"/></testcase>
</testsuite></testsuites>"""


def result_of(row, passed=9):
    tests = dict(passed=passed, skipped=1, seconds=7, failed={}, skips={})
    versions = {'torch': '2.0.1', 'numpy': '1.26.4', 'mmcv-lite': '2.1.0'}
    doctor = dict(can_train=True, errors=[], warnings=[])
    python = f'{row["python"]}.1'
    asked = matrix.fingerprint(row, python, 'not slow', None)
    result = dict(python=python, tests=tests, doctor=doctor, asked=asked)
    return dict(result, packages=versions)


def test_rows_are_complete_and_named_by_what_they_hold():
    for name, row in ROWS.items():
        assert row['why']
        assert row['mmcv'] in ('mmcv', 'mmcv-lite')
        assert name.startswith(f'py{row["python"]}-torch')
        major = name.split('numpy')[1][0]
        assert row['numpy'].startswith('numpy')
        assert (major == '2') == ('xtcocotools' in row.get('build', []))
        # The pins are for Python 3.11.
        assert row['python'] == '3.11' or not row.get('pinned')


def test_the_pinned_row_is_the_stack_of_setup_venv():
    (first, *_) = ROWS.values()
    lines = (ROOT / 'tools/requirements.txt').read_text().splitlines()
    pins = [p for p in lines if '==' in p]
    tests_need = [p for p in pins if not p.startswith(recipe.NOT_FOR_TESTS)]
    assert recipe.requirements('requirements.txt', first) == tests_need
    script = (ROOT / 'tools/setup_venv.sh').read_text()
    assert f'TORCH:-{first["torch"]}' in script


def test_other_pythons_choose_for_themselves_but_not_openmmlab():
    row = dict(ROWS['py3.9-torch2.0-numpy1-lite'], numpy='numpy<1.25')
    row['opencv'] = 'opencv-python-headless<4.9'
    chosen = recipe.requirements('requirements.txt', row)
    assert 'numpy<1.25' in chosen
    assert 'opencv-python-headless<4.9' in chosen
    assert 'opencv-python-headless' not in chosen
    assert 'scipy' in chosen
    assert 'munkres==1.1.4' in chosen
    assert not {'ruff', 'mypy'} & set(chosen)
    openmmlab = recipe.requirements('requirements-openmmlab.txt', row)
    assert 'mmpose==1.3.2' in openmmlab
    assert 'pycocotools' in openmmlab


def test_numpy_2_builds_xtcocotools_after_cython_and_numpy(tmp_path):
    row = ROWS['py3.12-torch2.14-numpy2-lite']
    commands = recipe.install_commands(row, tmp_path)
    (build,) = (c for c in commands if '--no-binary' in c)
    assert build[-2:] == ['xtcocotools', 'xtcocotools']
    assert '--no-build-isolation' in build
    assert commands.index(['cython']) < commands.index(build)
    assert not [c for c in commands if 'xtcocotools' in c and c != build]
    # Torch is not exchanged by what is installed after it.
    for command in commands[1:3]:
        assert {row['torch'], row['numpy'], recipe.SETUPTOOLS} <= set(command)


def test_the_full_mmcv_is_the_wheel_that_was_given(tmp_path):
    row = ROWS['py3.11-torch2.13-numpy1-mmcv']
    commands = recipe.install_commands(row, tmp_path, '/a/mmcv.whl')
    assert ['--no-deps', '/a/mmcv.whl'] in commands
    assert not [c for c in commands if 'mmcv-lite==2.1.0' in c]


@pytest.mark.parametrize(
    ('pythons', 'wheel', 'said'),
    [
        ({}, None, 'no Python 3.11; give --python PATH'),
        ({'3.11': 0}, None, 'no mmcv; give --mmcv-wheel FILE'),
        ({'3.11': 0}, 'missing-cp311-.whl', 'no file missing-cp311-.whl'),
        ({'3.11': 0}, 'mmcv-cp39-x.whl', 'is not for Python 3.11 (-cp311-)'),
        ({'3.11': 0}, 'mmcv-cp311-x.whl', ''),
    ],
)
def test_what_hinders_a_row_is_named(
    pythons, wheel, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ('mmcv-cp39-x.whl', 'mmcv-cp311-x.whl'):
        (tmp_path / name).touch()
    row = ROWS['py3.11-torch2.13-numpy1-mmcv']
    told = matrix.obstacle(row, pythons, wheel)
    assert said in told
    assert bool(said) == bool(told)


def test_interpreters_are_asked_for_their_version():
    found = matrix.find_pythons([sys.executable])
    version = '.'.join(map(str, sys.version_info[:3]))
    key = '.'.join(map(str, sys.version_info[:2]))
    assert found[key] == (sys.executable, version)
    with pytest.raises(SystemExit, match='is no interpreter that runs'):
        matrix.find_pythons(['/bin/true'])


def run_matrix(monkeypatch, tmp_path, *arguments):
    """Names of the rows that were really run, and the exit status."""
    ran = []

    def run_row(row, python, args):
        ran.append(row['name'])
        if row['name'] in broken:
            return dict(python=python[1], failed_step='torch: 1: no torch')
        return result_of(row)

    broken = ['py3.9-torch2.0-numpy1-lite']
    pythons = {v: (f'python{v}', f'{v}.1') for v in ('3.9', '3.12')}
    monkeypatch.setattr(matrix, 'run_row', run_row)
    monkeypatch.setattr(matrix, 'find_pythons', lambda given: pythons)
    command = ['matrix.py', '--work-dir', str(tmp_path), *arguments]
    monkeypatch.setattr(sys, 'argv', command)
    with pytest.raises(SystemExit) as ended:
        matrix.main()
    return ran, ended.value.code


def test_a_second_run_goes_on_after_the_last_one(
    monkeypatch, tmp_path, capsys
):
    old, new = 'py3.9-torch2.0-numpy1-lite', 'py3.12-torch2.14-numpy2-lite'
    assert run_matrix(monkeypatch, tmp_path, new) == ([new], 0)
    assert run_matrix(monkeypatch, tmp_path) == ([old], 1)
    told = capsys.readouterr().out
    assert '9 passed, 0 failed, 1 skipped in 7 s; doctor: healthy' in told
    assert 'not run: no Python 3.11; give --python PATH' in told
    assert run_matrix(monkeypatch, tmp_path) == ([], 1)
    # Other tests are another result, and one that was cut off is none.
    again = run_matrix(monkeypatch, tmp_path, new, '--select', 'slow')
    assert again == ([new], 0)
    path = tmp_path / f'{new}.json'
    path.write_text(path.read_text()[:20])
    assert run_matrix(monkeypatch, tmp_path, new) == ([new], 0)
    assert run_matrix(monkeypatch, tmp_path, new, '--again') == ([new], 0)


@pytest.mark.slow
def test_a_failing_command_ends_the_row_and_is_quoted(tmp_path, monkeypatch):
    row = ROWS['py3.11-torch2.13-numpy1-lite']
    monkeypatch.setattr(
        matrix.recipe, 'install_commands', lambda *_: [['--no-index', 'nix-x']]
    )
    monkeypatch.setattr(sys, 'argv', ['x', '--work-dir', str(tmp_path)])
    args = matrix.parse_args()
    result = matrix.run_row(row, (sys.executable, '3.11.7'), args)
    assert (
        'install --progress-bar off --no-index nix-x: 1: '
        in (result['failed_step'])
    )
    assert 'No matching distribution found for nix-x' in result['failed_step']
    assert 'tests' not in result
    assert set(result['packages']) <= {'pip', 'setuptools'}
    # Doctor has looked all the same, and nothing but the log is left.
    assert result['doctor']['can_train'] is False
    assert 'torch is not installed' in result['doctor']['errors']
    assert [p.name for p in tmp_path.iterdir()] == [f'{row["name"]}.log']
    assert str(tmp_path) not in json.dumps(result)


def test_a_kept_environment_is_tested_again_without_installing(
    tmp_path, monkeypatch
):
    row = ROWS['py3.11-torch2.13-numpy1-lite']
    installed = []

    def install(row, python, folder, log, args):
        installed.append(row['name'])
        folder.joinpath('venv/bin').mkdir(parents=True)
        folder.joinpath('venv/bin/python').touch()

    def examine(inside, folder, log, args):
        assert folder.joinpath('project/tools/matrix.py').is_file()
        return dict(tests=len(installed))

    monkeypatch.setattr(matrix, 'install', install)
    monkeypatch.setattr(matrix, 'examine', examine)

    def run(*arguments):
        command = ['x', '--work-dir', str(tmp_path), *arguments]
        monkeypatch.setattr(sys, 'argv', command)
        python = (sys.executable, '3.11.7')
        return matrix.run_row(row, python, matrix.parse_args())['tests']

    assert run('--keep') == 1
    assert run('--tests-only', '--keep') == 1
    assert run('--keep') == 2
    assert run('--tests-only') == 2
    assert run('--tests-only') == 3  # nothing was kept


def test_tests_are_counted_from_the_report(tmp_path):
    path = tmp_path / 'junit.xml'
    path.write_text(JUNIT)
    found = reading.read_junit(path, 1)
    assert found == dict(
        passed=1,
        skipped=2,
        seconds=3,
        failed={'tests.test_a::breaks': 'AssertionError: 1 is not 2 more'},
        skips={'no pictures': 2},
    )
    crashed = reading.read_junit(path, -11)
    assert crashed['failed']['pytest'] == 'ended with status -11'
    assert crashed['passed'] == 1
    missing = reading.read_junit(tmp_path / 'no.xml', 3)
    assert 'no report (status 3)' in missing['failed']['pytest']


def test_tables_tell_counts_failures_and_what_doctor_says():
    rows = {n: dict(ROWS[n]) for n in list(ROWS)[:3]}
    good, ill, broken = rows.values()
    ill['note'] = 'Why it is so.'
    results = {name: result_of(row) for name, row in rows.items()}
    results[ill['name']]['tests']['failed'] = {'test_a::b': 'no'}
    results[ill['name']]['doctor'].update(can_train=False, errors=['bad mmcv'])
    results[broken['name']] = dict(
        python='3.11.1', failed_step='torch: 1: no', asked={}
    )
    lines = tables.full_table(results, rows).splitlines()
    assert lines[2] == (
        '| 3.11.1 | 2.0.1 |  | 1.26.4 |  |  | mmcv-lite 2.1.0 | can train '
        '| 9 | 0 | 1 | 7 |  |'
    )
    assert '| cannot train | 9 | 1 | 1 | 7 | (1) |' in lines[3]
    text = '\n'.join(lines[5:])
    for said in (
        'Why it is so.',
        'doctor, error: bad mmcv',
        'failed: `test_a::b`: `no`',
        'Not installed: `torch: 1: no`',
    ):
        assert f'\n  * {said}' in text
    assert 'Without a result' not in text
    told = tables.full_table({good['name']: results[good['name']]}, rows)
    names = f'`{ill["name"]}`, `{broken["name"]}`'
    assert told.endswith(f'\nWithout a result so far: {names}.')
    short = tables.short_table(results, rows)
    assert '| mmcv-lite 2.1.0 | 9 passed, 0 failed, 1 skipped |' in short
    assert short.endswith('| not installed |')


def test_results_of_a_row_that_is_another_now_are_left_out(tmp_path):
    a, b, c = list(ROWS)[:3]
    old = {a: result_of(ROWS[a]), b: result_of(ROWS[b])}
    (tmp_path / f'{b}.json').write_text(json.dumps(result_of(ROWS[b], 5)))
    (tmp_path / f'{c}.json').write_text(json.dumps(result_of(ROWS[c])))
    merged = tables.merge(old, tmp_path, ROWS)
    assert list(merged) == [a, b, c]
    assert merged[b]['tests']['passed'] == 5
    changed = dict(ROWS, **{a: dict(ROWS[a], torch='torch==2.99')})
    assert list(tables.merge(old, tmp_path, changed)) == [b, c]


def test_documents_are_what_the_results_say():
    results = json.loads((ROOT / tables.RESULTS).read_text())
    assert results
    for path, text in tables.documents(ROOT, results, ROWS).items():
        assert path.read_text(encoding='utf-8') == text, (
            f'{path.name}: run tools/matrix.py --write-tables'
        )


def test_help_has_examples_and_needs_no_package():
    done = subprocess.run(
        [sys.executable, '-S', 'tools/matrix.py', '--help'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 'python tools/matrix.py --write-tables' in done.stdout

import subprocess

import pytest
from helpers import ROOT


@pytest.mark.parametrize(('argument', 'status'), [('--help', 0), ('x', 2)])
def test_arguments_do_not_start_the_installation(tmp_path, argument, status):
    folder = tmp_path / 'tools/dev'
    folder.mkdir(parents=True)
    script = folder / 'setup_venv.sh'
    script.write_bytes((ROOT / 'tools/dev/setup_venv.sh').read_bytes())
    done = subprocess.run(
        ['bash', script, argument], capture_output=True, text=True
    )
    assert done.returncode == status
    assert 'TORCH_INDEX_URL' in done.stdout
    assert ('got the argument x' in done.stderr) == (status == 2)
    assert [p.name for p in tmp_path.iterdir()] == ['tools']

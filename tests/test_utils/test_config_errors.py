"""Mistakes in config files end in one line with file and remedy."""

import pytest
from helpers.tools import CONFIG

from swahr_mmpose.utils.config import find_config, read_config


def write(folder, text, name='own.py'):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a = 1\nx = (\n', r'own.py: line 2: syntax error'),
        ('a = 1\nx = absent\n', "own.py: line 2: NameError: name 'absent'"),
        (
            'custom_imports = dict(imports=["no_such"])\n',
            "own.py: custom_imports: No module named 'no_such'; .*PYTHONPATH",
        ),
        ('with open("x"):\n    pass\n', 'Only `read_base` context manager'),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message):
        read_config(str(path))


@pytest.mark.parametrize('text', ['x = (\n', 'x = absent\n'])
def test_the_inherited_file_is_named_if_the_mistake_is_there(tmp_path, text):
    write(tmp_path, text, 'base.py')
    path = write(tmp_path, "_base_ = 'base.py'\n")
    with pytest.raises(ValueError, match='config .*base.py: line 1: '):
        read_config(str(path))


def test_a_missing_inherited_file_is_named_with_its_heir(tmp_path):
    path = write(tmp_path, "_base_ = 'absent.py'\n")
    with pytest.raises(
        FileNotFoundError, match=r'own.py: the inherited .*absent.py does not'
    ):
        read_config(str(path))


def test_a_bug_in_a_custom_module_is_located(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path, 'import os\nx = absent\n', 'module_with_a_bug.py')
    path = write(
        tmp_path, 'custom_imports = dict(imports="module_with_a_bug")\n'
    )
    with pytest.raises(ValueError, match=r'_with_a_bug.py, line 2: NameError'):
        read_config(str(path))


def test_the_path_of_a_shipped_config_is_given_for_its_name(tmp_path):
    """The message is the line that works."""
    name = 'synthetic/' + CONFIG.rpartition('/')[2]
    path = write(tmp_path, f"_base_ = 'swahr_mmpose::{name}'\n")
    with pytest.raises(ValueError, match='write the path instead') as caught:
        read_config(str(path))
    line = str(caught.value).rpartition('instead, ')[2]
    assert line == f'_base_ = {find_config(name)!r}'
    inherited = read_config(str(write(tmp_path, f'{line}\n')))
    assert inherited.model == read_config(CONFIG).model


def test_an_error_of_the_system_is_unchanged(tmp_path):
    path = write(tmp_path, 'open("/no/such/folder/x")\n')
    with pytest.raises(FileNotFoundError, match='/no/such/folder'):
        read_config(str(path))

"""`python -m ckptfast run script.py`: the script runs as it would without it."""

from __future__ import annotations

from pathlib import Path

import pytest
from install_cases import python

SCRIPT = """
import os, sys
assert "tensorflow" not in sys.modules, "imported before the script could set its environment"
import helper
from tensorflow.compat.v1 import disable_eager_execution, get_variable
from tensorflow.compat.v1.train import Saver
disable_eager_execution()
if __name__ == "__main__":
    get_variable("v", [2])
    print(type(Saver()).__module__.split(".")[0], sys.argv, helper.VALUE)
    sys.exit(3)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "helper.py").write_text("VALUE = 42\n")
    path = folder / "script.py"
    path.write_text(SCRIPT)
    return path


def test_the_script_sees_other_arguments_or_modules(
    tf: object, tmp_path: Path, script: Path
) -> None:
    arguments = ["folder/script.py", "--epochs", "3", "-h"]
    result = python("-m", "ckptfast", "run", *arguments, folder=tmp_path)
    assert result.returncode == 3, result.stderr
    assert result.stdout == f"ckptfast {arguments} 42\n"
    plain = python(*arguments, folder=tmp_path)
    assert (plain.returncode, plain.stdout) == (3, f"tensorflow {arguments} 42\n")


def test_a_script_without_tensorflow_imports_it(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        "import sys\nprint('tensorflow' in sys.modules, 'numpy' in sys.modules, __file__)\n"
    )
    result = python("-m", "ckptfast", "run", "plain.py", folder=tmp_path)
    assert (result.returncode, result.stdout) == (0, "False False plain.py\n"), result.stderr


def test_an_error_of_the_script_is_swallowed(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise RuntimeError('of the script')\n")
    result = python("-m", "ckptfast", "run", "bad.py", folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.endswith("RuntimeError: of the script\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["walk"], "invalid choice: 'walk'"),
        (["run"], "required: SCRIPT"),
        (["run", "missing.py"], "no such file: missing.py"),
        (["run", "--fast", "x.py"], "--fast"),
    ],
)
def test_wrong_arguments_end_in_a_traceback(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = python("-m", "ckptfast", *arguments, folder=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr and "usage: python -m ckptfast" in result.stderr
    assert "Traceback" not in result.stderr


def test_what_follows_an_import_is_done_twice_or_its_error_lost(tmp_path: Path) -> None:
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "__init__.py").write_text("done = True\n")
    (tmp_path / "late" / "data.txt").write_text("text")
    (tmp_path / "program.py").write_text(
        "import importlib.resources, sys\n"
        "from ckptfast.cli import _after_import\n"
        "calls = []\n"
        "_after_import.call('late', lambda: calls.append(sys.modules['late'].done))\n"
        "assert calls == []\n"
        "import late, late\n"
        "assert calls == [True]\n"
        "assert type(late.__spec__.loader).__name__ == 'SourceFileLoader'\n"
        "assert importlib.resources.files(late).joinpath('data.txt').read_text() == 'text'\n"
        "_after_import.call('late', lambda: calls.append(2))\n"
        "assert calls == [True, 2]\n"
        "_after_import.call('colorsys', lambda: 1 / 0)\n"
        "try:\n"
        "    import colorsys\n"
        "except ZeroDivisionError:\n"
        "    print('raised')\n"
    )
    result = python("program.py", folder=tmp_path)
    assert (result.returncode, result.stdout) == (0, "raised\n"), result.stderr


def test_the_usage_asks_for_arguments_that_no_script_needs(tmp_path: Path) -> None:
    result = python("-m", "ckptfast", "run", folder=tmp_path)
    assert result.returncode == 2
    assert result.stderr.endswith("the following arguments are required: SCRIPT\n")

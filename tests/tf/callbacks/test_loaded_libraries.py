"""Which libraries are taken for ones that may register checkpoint callbacks.

Each case in a process of its own: what is loaded stays loaded. None needs TensorFlow.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# As the compiler calls a method of the manager; whoever registers callbacks needs another one.
SYMBOL = "_ZN10tensorflow10checkpoint25CheckpointCallbackManager4SaveESt17basic_string_viewIcE"


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `plain.so`, and `callbacks.so` which asks for the symbol, as TensorFlow's."""
    folder = tmp_path_factory.mktemp("libraries")
    needs = f"extern void {SYMBOL}(void) __attribute__((weak)); void *needed = {SYMBOL};"
    sources = {"plain.so": 'char *text = "CheckpointCallbackManager";'}
    for name in ("callbacks.so", "libtensorflow_cc.so.2", "libtensorflow_io.so"):
        sources[name] = needs
    for name, source in sources.items():
        compiler = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(folder / name)]
        subprocess.run(compiler, input=source, text=True, check=True)
    return folder


def answers(folder: Path, code: str) -> list[str]:
    """What a program prints that has `libraries`, `ask` and `load`."""
    program = f"""
        import ctypes, os, sys, types
        import ckptfast
        package = types.ModuleType("ckptfast.tf")  # the real one would load TensorFlow
        package.__path__ = [os.path.join(os.path.dirname(ckptfast.__file__), "tf")]
        sys.modules["ckptfast.tf"] = package
        from ckptfast.tf import _libraries as libraries
        ask = libraries.may_register_callbacks
        load = ctypes.CDLL
        os.chdir({str(folder)!r})
    """
    text = textwrap.dedent(program) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_only_one_that_needs_the_manager_counts(libraries: Path) -> None:
    code = """
        print(ask())
        for name in ("plain.so", "libtensorflow_cc.so.2", "callbacks.so", "plain.so"):
            load(f"./{name}")
            print(ask())
    """
    assert answers(libraries, code) == ["False", "False", "False", "True", "True"]


def test_tensorflow_is_told_by_its_whole_name(libraries: Path) -> None:
    code = """
        load("./libtensorflow_io.so")
        print(ask())
    """
    assert answers(libraries, code) == ["True"]


def test_a_library_whose_file_is_gone_counts(libraries: Path) -> None:
    """As of a program that unpacks itself."""
    code = """
        os.link("callbacks.so", "gone.so")
        load("./gone.so")
        os.unlink("gone.so")
        print(ask())
    """
    assert answers(libraries, code) == ["True"]


def test_tables_are_read_once(libraries: Path) -> None:
    code = """
        ask()
        reads = []
        native = libraries._native
        libraries._native = types.SimpleNamespace(
            library_loads=native.library_loads,
            libraries_name=lambda *given: reads.append(given) or native.libraries_name(*given),
        )
        ask()
        print(len(reads))
        load("./plain.so")
        ask(), ask()
        print(len(reads))
    """
    assert answers(libraries, code) == ["0", "1"]

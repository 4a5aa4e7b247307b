"""What users install: the wheel and the source distribution that `make dist` put into dist/."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# glibc 2.28: what manylinux_2_28 stands for, and the oldest one that users may have.
NEWEST_GLIBC = (2, 28)


def _only(pattern: str) -> Path:
    found = list((ROOT / "dist").glob(pattern))
    assert len(found) == 1, f"dist/{pattern}: {len(found)} files instead of one; run `make dist`"
    return found[0]


@pytest.fixture(scope="module")
def wheel() -> Path:
    return _only("ckptfast-*.whl")


@pytest.fixture(scope="module")
def sdist() -> Path:
    return _only("ckptfast-*.tar.gz")


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.build
def test_wheel_promises_what_it_can_keep(wheel: Path, tmp_path: Path) -> None:
    match = re.fullmatch(r"ckptfast-[\d.]+-cp311-abi3-manylinux_(\d+)_(\d+)_\w+\.whl", wheel.name)
    assert match, wheel.name
    assert (int(match[1]), int(match[2])) <= NEWEST_GLIBC

    shown = _run(sys.executable, "-m", "auditwheel", "show", wheel, cwd=tmp_path)
    tags = re.findall(r'platform\s+tag:\s+"manylinux_(\d+)_(\d+)_', shown)
    assert tags, shown
    assert all((int(major), int(minor)) <= NEWEST_GLIBC for major, minor in tags), shown


@pytest.mark.build
def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata_name = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(metadata_name).decode()
    package = {name for name in names if ".dist-info/" not in name}
    sources = {
        path.relative_to(ROOT / "python").as_posix()
        for path in (ROOT / "python").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"ckptfast/py.typed", "ckptfast/_native.pyi"} <= sources
    assert package == sources | {"ckptfast/_native.abi3.so"}
    assert any(name.endswith("licenses/LICENSE") for name in names)

    required = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, re.MULTILINE)
    assert sorted(name.lower().replace("-", "_") for name in required) == ["ml_dtypes", "numpy"]
    extras = set(re.findall(r"^Provides-Extra: (\S+)", metadata, re.MULTILINE))
    assert {"tensorflow", "safetensors", "dev"} <= extras


@pytest.mark.build
def test_wheel_works_where_tensorflow_is_missing(wheel: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "venv", "clean", cwd=tmp_path)
    python = tmp_path / "clean" / "bin" / "python"
    _run(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    script = ROOT / "tests" / "without_tensorflow.py"
    assert _run(python, "-I", script, cwd=tmp_path).splitlines()[-1] == "works"


@pytest.mark.build
def test_sdist_builds_into_a_wheel(sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Cargo.lock", "LICENSE", "README.md", "python/ckptfast/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "benches/", "fuzz/"))]

    # The dependencies' object files are kept from one run to the next; the build itself is the
    # one that `pip install ckptfast` makes where no wheel fits.
    target = ROOT / "target" / "sdist"
    build = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "out")
    _run(*build, sdist, cwd=tmp_path, CARGO_TARGET_DIR=str(target))
    (built,) = (tmp_path / "out").glob("ckptfast-*-cp311-abi3-*.whl")

    _run(sys.executable, "-m", "zipfile", "-e", built, "site", cwd=tmp_path)
    code = "import ckptfast._native as native; print(native.__file__, native.crc32c(b'123456789'))"
    shown = _run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    file, crc = shown.split()
    assert Path(file).is_relative_to(tmp_path)
    assert int(crc) == 0xE3069283  # the check value of CRC-32C


def test_there_is_one_version_number() -> None:
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    version = cargo["workspace"]["package"]["version"]
    assert importlib.metadata.version("ckptfast") == version
    assert re.search(rf"^## \[{re.escape(version)}\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    # Nowhere else: a second copy is one that a release forgets.
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]
    for crate in ROOT.glob("rust/*/Cargo.toml"):
        assert tomllib.loads(crate.read_text())["package"]["version"] == {"workspace": True}
    for source in (ROOT / "python").rglob("*.py"):
        assert version not in source.read_text(), source


def test_import_loads_nothing_that_is_slow(record_property: Callable[[str, object], None]) -> None:
    def modules(code: str) -> set[str]:
        listing = f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
        return set(json.loads(_run(sys.executable, "-I", "-c", listing, cwd=ROOT)))

    loaded = modules("import ckptfast") - modules("")
    assert not {"numpy", "ml_dtypes", "tensorflow"} & loaded, sorted(loaded)

    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-c", code], check=True)
        return time.perf_counter() - start

    # Interleaved, so that a busy machine slows both alike. Reported, not asserted: the time is
    # the machine's, the list of modules above is ours.
    pairs = [(seconds("pass"), seconds("import ckptfast")) for _ in range(10)]
    bare, with_ckptfast = (min(column) for column in zip(*pairs, strict=True))
    cost = 1000 * (with_ckptfast - bare)
    record_property("figure", f"`import ckptfast` costs {cost:.1f} ms more than a bare interpreter")

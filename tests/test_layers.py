"""Imports point downwards, and no source file is an orphan.

The tables below are the architecture: a module may use modules of a smaller layer, and those that
stand before it in its own layer. The files of a folder share the folder's place; among themselves
they may not go in circles. A file that is in no table fails, so a new one gets its place here.
"""

from __future__ import annotations

import ast
import graphlib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Module paths below `crate`. A folder's `mod.rs` bears the folder's name.
RUST_LAYERS: tuple[tuple[str, ...], ...] = (
    ("error", "crc32c", "farmhash", "coding", "counters", "parallel", "libraries"),
    ("dtype", "shape", "slice", "ordered_code", "proto"),
    ("table", "io"),
    ("bundle", "v1", "checkpoint"),
    ("events",),
)
# Pairs of one layer that must not see each other, in either direction.
RUST_STRANGERS = (("table", "io"),)

# Module paths below `ckptfast`. `__init__` is the facade: it may name everything.
PYTHON_LAYERS: tuple[tuple[str, ...], ...] = (
    ("_native", "errors", "_arguments", "_cached"),
    (
        "_moving_averages",
        "_nearest",
        "_patterns",
        "_report",
        "_warnings",
        "_wire",
        "_files",
        "_threads",
        "_pages",
        "_parts",
        "_stats",
        "_dtypes",
        "_object_graph",
        "_slots",
        "_choice",
        "_shards",
        "_state",
        "_fingerprint",
        "_memory",
    ),
    ("_filetype", "_latest", "_paths", "_remote", "_bundle", "_names", "_writer"),
    ("_load", "_checkpoint_reader", "_checkpoints"),
    ("_events", "_best", "_reshard"),
    ("freezing", "conversion"),
    ("tf",),
    ("keras",),
    ("cli",),
    ("__init__",),
    ("__main__",),
)
# Arrows that point up all the same, each with its reason.
PYTHON_EXCEPTIONS = {
    ("_remote", "tf._gfile"): "loaded when a gs:// path is used, and only TensorFlow can read it",
    ("_checkpoint_reader", "tf._errors"): "loaded where TensorFlow already is: its error classes",
    ("_checkpoint_reader", "tf._dtypes"): "loaded where TensorFlow already is: its type objects",
}
# Who may load TensorFlow.
TENSORFLOW_USERS = ("tf",)


# --------------------------------------------------------------------------------------- Rust

CORE = ROOT / "rust" / "ckptfast" / "src"


# Comments, raw strings, strings and characters: nothing in them is an import.
RUST_NOISE = re.compile(
    r"""//[^\n]* | /\*.*?\*/
    | b?r(\#*)".*?"\1 | b?"(?:\\.|[^"\\])*" | b?'(?:\\.|[^'\\])'""",
    re.DOTALL | re.VERBOSE,
)


def rust_module(path: Path) -> str:
    """The path below `crate` of a file of the core ("table::block"; the root is "")."""
    parts = path.relative_to(CORE).with_suffix("").parts
    parts = parts[:-1] if parts[-1] in ("mod", "lib") else parts
    return "::".join(parts)


def use_paths(tree: str) -> Iterator[str]:
    """Every path in a use tree: "a::{b, c::{d, e}}" is a::b, a::c::d and a::c::e."""
    head, brace, rest = tree.partition("{")
    if not brace:
        yield re.sub(r"\s+as\s+\w+|\s", "", tree)
        return
    depth, start, body = 0, 0, rest[: rest.rindex("}")]
    for at, character in enumerate(body + ","):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            if body[start:at].strip():
                yield from use_paths(head.strip() + body[start:at].strip())
            start = at + 1


def rust_imports(path: Path) -> Iterator[str]:
    """Paths below `crate` that a file names, in `use` or in the middle of an expression."""
    code = RUST_NOISE.sub('""', path.read_text())
    module = rust_module(path).split("::")
    # In an inner `mod tests`, `super` is this very file.
    outer, _, tests = code.partition("mod tests {")
    children = "|".join(re.findall(r"\bmod\s+(\w+)\s*;", outer)) or "self"
    uses = [f"self::{tree}" for tree in re.findall(rf"\buse\s+((?:{children})\b[^;]*);", outer)]
    uses += re.findall(r"\buse\s+((?:crate|super|self)\b[^;]*);", outer)
    uses += re.findall(r"\buse\s+(crate\b[^;]*);", tests)
    inline = re.findall(r"\b((?:crate|super)(?:::\w+)+)", re.sub(r"\buse\s[^;]*;", "", outer))
    for tree in [*uses, *inline]:
        for name in use_paths(tree):
            parts = name.split("::")
            base = [] if parts[0] == "crate" else list(module)
            if parts[0] == "super":
                ups = sum(1 for part in parts if part == "super")
                base, parts = base[: len(base) - ups], parts[ups - 1 :]
            yield "::".join([*base, *parts[1:]])


def rust_defines(name: str, modules: Mapping[str, Path]) -> str:
    """The module that defines what a path below `crate` names, seen through re-exports."""
    module, item = name, ""
    while module and module not in modules:
        module, _, item = module.rpartition("::")
    for found in rust_imports(modules[module]) if module and item else ():
        inner, _, exported = found.rpartition("::")
        if exported == item and inner.startswith(f"{module}::"):
            return rust_defines(found, modules)
    return module


def rust_file_of(module: str, parent: Path, *, is_root: bool) -> Path:
    """The file that a `mod module;` in the file `parent` names."""
    named = re.search(
        rf'#\[path\s*=\s*"([^"]+)"\]\s*(?:pub\S*\s+)?mod\s+{module}\s*;', parent.read_text()
    )
    if named:
        return parent.parent / named[1]
    beside = is_root or parent.name == "mod.rs"
    directory = parent.parent if beside else parent.with_suffix("")
    flat = directory / f"{module}.rs"
    return flat if flat.exists() else directory / module / "mod.rs"


def rust_reached(file: Path, *, is_root: bool) -> Iterator[Path]:
    """`file` and every file that `mod` declarations reach from it."""
    yield file.resolve()
    declaration = r"^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;"
    for module in re.findall(declaration, file.read_text(), re.MULTILINE):
        path = rust_file_of(module, file, is_root=is_root)
        assert path.exists(), f"{file} declares `mod {module};`, and {path} does not exist"
        yield from rust_reached(path, is_root=False)


def crate_roots(crate: Path) -> Iterator[Path]:
    """The files that cargo compiles as roots, those named in Cargo.toml included."""
    for pattern in (
        "src/lib.rs", "src/main.rs", "src/bin/*.rs", "build.rs",
        "tests/*.rs", "tests/*/main.rs", "benches/*.rs", "examples/*.rs",
    ):  # fmt: skip
        yield from crate.glob(pattern)
    cargo = tomllib.loads((crate / "Cargo.toml").read_text())
    for kind in ("bin", "test", "bench", "example"):
        for target in cargo.get(kind, []):
            if "path" in target:
                yield crate / target["path"]


# ------------------------------------------------------------------------------------- Python

PACKAGE = ROOT / "python" / "ckptfast"


def python_module(path: Path) -> str:
    """The path below `ckptfast` of a file of the package ("tf.restore"; the root is "")."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def python_modules() -> dict[str, Path]:
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")]
    return {python_module(path): path for path in files}


def python_imports(path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """Absolute names that a file imports anywhere in it, also lazily and for the type checker.

    In the facade, every string that is the name of a module counts: the table behind
    `__getattr__` is made of them.
    """
    package = ["ckptfast", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                base = package[: len(package) - level + 1] if level else []
                base = [*base, *module.split(".")] if module else base
                yield from (".".join([*base, alias.name]) for alias in aliases)
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                level = len(name) - len(name.lstrip("."))
                base = package[: len(package) - level + 1] if level else []
                yield ".".join([*base, name[level:]])
            case ast.Constant(value=str(name)) if name in modules and path.parent == PACKAGE:
                if name and path.name == "__init__.py":
                    yield f"ckptfast.{name}"


def python_internal(path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """The modules of the package that a file imports, each by its path below `ckptfast`."""
    for name in python_imports(path, modules):
        if name == "ckptfast" or name.startswith("ckptfast."):
            parts = name.split(".")[1:]
            while ".".join(parts) not in modules:
                parts.pop()  # the last part is something in the module
            yield ".".join(parts)


# -------------------------------------------------------------------------------------- rules


class Table:
    """Where each module stands: its layer, and its place within the layer."""

    def __init__(self, layers: Sequence[Sequence[str]], separator: str) -> None:
        self.separator = separator
        self.places = {
            name: (layer, place)
            for layer, names in enumerate(layers)
            for place, name in enumerate(names)
        }

    def owner(self, module: str) -> str | None:
        """The row of the table that `module` belongs to: itself, or the folder it lies in."""
        while module and module not in self.places:
            module = module.rpartition(self.separator)[0]
        return module or None

    def complaints(
        self, imports: Mapping[str, set[str]], exceptions: Collection[tuple[str, str]] = ()
    ) -> list[str]:
        """What is wrong with `imports` (of each file's module, the modules it imports)."""
        arrows = {(importer, imported) for importer in imports for imported in imports[importer]}
        wrong = [f"{arrow} is not an exception any more" for arrow in set(exceptions) - arrows]
        graph = graphlib.TopologicalSorter[str]()
        for importer, imported in sorted(arrows - set(exceptions)):
            above, below = self.owner(importer), self.owner(imported)
            assert above, f"{importer} is in no table"
            assert below, f"{imported} is in no table"
            if self.places[above] < self.places[below]:
                wrong.append(f"{importer} imports {imported}, which stands above it")
            graph.add(importer, imported)
        try:
            graph.prepare()
        except graphlib.CycleError as error:
            wrong.append("a circle: " + " imports ".join(reversed(error.args[1])))
        return wrong


RUST = Table(RUST_LAYERS, "::")
PYTHON = Table(PYTHON_LAYERS, ".")


def test_every_rust_file_has_a_layer() -> None:
    modules = {rust_module(path) for path in CORE.rglob("*.rs")} - {""}
    assert [name for name in sorted(modules) if RUST.owner(name) is None] == []
    assert set(RUST.places) == {RUST.owner(name) for name in modules}, "a row without a file"


def test_no_rust_import_points_up() -> None:
    modules = {rust_module(path): path for path in CORE.rglob("*.rs")}
    del modules[""]  # the crate's root declares everything, and uses nothing
    imports: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = {rust_defines(name, modules) for name in rust_imports(path)}
        imports[module] = names - {module, ""}
    assert sum(map(len, imports.values())) > 20, "the parser has stopped seeing imports"
    wrong = RUST.complaints(imports)
    for importer, names in imports.items():
        for pair in ({RUST.owner(importer), RUST.owner(name)} for name in names):
            if pair in map(set, RUST_STRANGERS):
                wrong.append(f"{importer} must know nothing of {pair}")
    assert wrong == []


def test_every_rust_file_is_reached() -> None:
    reached: set[Path] = set()
    manifests = [*ROOT.glob("rust/*/Cargo.toml"), *ROOT.glob("fuzz/Cargo.toml")]
    crates = [manifest.parent for manifest in manifests]
    assert crates
    for crate in crates:
        for root in crate_roots(crate):
            reached.update(rust_reached(root, is_root=True))
    files = {
        path.resolve()
        for crate in crates
        for path in crate.rglob("*.rs")
        if "target" not in path.relative_to(crate).parts
    }
    assert sorted(str(path.relative_to(ROOT)) for path in files - reached) == []


def test_every_python_file_has_a_layer() -> None:
    modules = {name or "__init__" for name in python_modules()}
    assert [name for name in sorted(modules) if PYTHON.owner(name) is None] == []
    assert set(PYTHON.places) == {PYTHON.owner(name) for name in modules}, "a row without a file"


def test_no_python_import_points_up() -> None:
    modules = python_modules()
    imports: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = {name for name in python_internal(path, modules) if name != module}
        imports[module or "__init__"] = {name or "__init__" for name in names}
    assert sum(map(len, imports.values())) > 10, "the parser has stopped seeing imports"
    assert PYTHON.complaints(imports, PYTHON_EXCEPTIONS) == []


def test_only_its_own_folder_imports_tensorflow() -> None:
    modules = python_modules()
    users = {
        PYTHON.owner(module or "__init__")
        for module, path in modules.items()
        for name in python_imports(path, modules)
        if name.split(".")[0] == "tensorflow"
    }
    assert users <= set(TENSORFLOW_USERS)


def test_every_python_file_is_reached() -> None:
    modules = python_modules()
    reached: set[str] = set()
    waiting = {"", *(name for name in modules if name.split(".")[-1] == "__main__")}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        parents = {module.rpartition(".")[0]}
        waiting |= (parents | set(python_internal(modules[module], modules))) - reached
    assert sorted(set(modules) - reached) == []


@pytest.mark.parametrize(
    ("tree", "paths"),
    [
        ("crate::io::File", "crate::io::File"),
        ("crate::{e::E, io::{self, mmap}}", "crate::e::E crate::io::self crate::io::mmap"),
        ("crate::a::b as c", "crate::a::b"),
    ],
)
def test_use_trees_are_read_whole(tree: str, paths: str) -> None:
    assert list(use_paths(tree)) == paths.split()

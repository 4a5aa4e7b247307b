"""Reads every real checkpoint where TensorFlow cannot be imported; see test_real_checkpoints.py.

Prints a JSON object: for every truth file what differs from it (nothing, if all is well), and how
many tensors were compared.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import ckptfast


def digest(value: Any) -> dict[str, Any]:
    """Size and hash of a value under the names that truth files use."""
    if value.dtype != object:
        content = np.ascontiguousarray(value).tobytes()
        return {"nbytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    # The truth of scalars was taken through an array of fixed-width bytes, which ends a value at
    # its last byte that is not zero.
    elements = value.tolist() if value.ndim else np.asarray(value.item()).tolist()
    return {
        "total_bytes": sum(map(len, np.ravel(np.asarray(elements, dtype=object)))),
        "sha256_repr_list": hashlib.sha256(repr(elements).encode()).hexdigest(),
    }


def compare_tensor(reader: ckptfast.Reader, name: str, truth: dict[str, Any]) -> list[str]:
    value, info = reader[name], reader.info(name)
    found = {"dtype": info.dtype, "shape": list(info.shape), **digest(value)}
    problems = [
        f"{name}: {key} {found[key]}, not {truth[key]}" for key in found if found[key] != truth[key]
    ]
    if value.shape != info.shape:
        problems.append(f"{name}: the array has shape {value.shape}")
    return problems


def compare_checkpoint(root: Path, truth: dict[str, Any]) -> list[str]:
    problems = []
    with ckptfast.open(root / truth["_prefix"]) as reader:
        if reader.format != truth["_format"]:
            problems.append(f"format {reader.format}")
        names = sorted(truth["tensors"], key=str.encode)
        if list(reader) != names:
            return [f"names {list(reader)}"]
        for name in names:
            problems += compare_tensor(reader, name, truth["tensors"][name])
    loaded = ckptfast.load(root / truth["_source"])
    problems += [
        f"{name}: load gives another value"
        for name in names
        if not digest(loaded[name]).items() <= truth["tensors"][name].items()
    ]
    if not ckptfast.verify(root / truth["_prefix"]):
        problems.append("verify finds damage")
    return problems


def compare_state(root: Path, folder: Path, truth: dict[str, Any]) -> list[str]:
    state = ckptfast.get_checkpoint_state(folder)
    found = {
        "model_checkpoint_path": state and state.model_checkpoint_path,
        "all": state and list(state.all_model_checkpoint_paths),
        "latest_checkpoint": ckptfast.latest_checkpoint(folder),
    }
    expected = json.loads(json.dumps(truth).replace("<REAL>", str(root)))
    return [
        f"{key} {found[key]}, not {expected[key]}" for key in found if found[key] != expected[key]
    ]


def main() -> None:
    assert "tensorflow" not in sys.modules
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    root = Path(sys.argv[1])
    report: dict[str, Any] = {"problems": {}, "tensors": 0, "states": 0}
    for path in sorted(root.rglob("*.truth.json")):
        truth = json.loads(path.read_text())
        if path.name == "checkpoint.truth.json":
            problems = compare_state(root, path.parent, truth)
            report["states"] += 1
        else:
            problems = compare_checkpoint(root, truth)
            report["tensors"] += len(truth["tensors"])
        if problems:
            report["problems"][str(path.relative_to(root))] = problems
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()

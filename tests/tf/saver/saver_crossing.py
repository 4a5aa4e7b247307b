"""One half of `test_saver_crossing`, in a process of its own.

python saver_crossing.py save|restore tensorflow|ckptfast FOLDER
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import traceback
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compat import v1

CASES = ("plain", "sharded", "V1", "V1 sharded", "partitioned", "renamed", "relative", "padded")
TWO_DEVICES = v1.ConfigProto(device_count={"CPU": 2})


def variables(case: str) -> Any:
    """The variables of a case as `var_list`; values come from their names."""
    made: dict[str, Any] = {}
    for number, dtype in enumerate(("float32", "float64", "int64", "bool", "string", "float16")):
        with tf.device(f"/cpu:{number % 2}"):
            value = np.arange(12 * (number + 1)).reshape(-1, 4) % 5
            typed = value.astype(str).astype("S") if dtype == "string" else value.astype(dtype)
            # TensorFlow can put only some types together from slices.
            sliced = case == "partitioned" and dtype in ("float32", "int64")
            made[f"scope/v{number}"] = v1.get_variable(
                f"scope/v{number}",
                initializer=tf.constant(typed) if not sliced else None,
                shape=value.shape if sliced else None,
                dtype=tf.as_dtype(dtype) if sliced else None,
                use_resource=number % 3 != 2,
                partitioner=v1.fixed_size_partitioner(2) if sliced else None,
            )
    if case == "renamed":
        return {f"other/{name}": variable for name, variable in made.items()}
    return list(made.values())


def options(case: str) -> dict[str, Any]:
    """The arguments of a case's saver."""
    return {
        "sharded": "sharded" in case,
        "write_version": v1.train.SaverDef.V1 if "V1" in case else v1.train.SaverDef.V2,
        "save_relative_paths": case == "relative",
        "pad_step_number": case == "padded",
    }


def values(session: Any) -> list[Any]:
    """What all variables hold, in the order of their names."""
    found = sorted(v1.global_variables(), key=lambda variable: variable.op.name)
    return list(session.run(found))


def save(kind: str, case: str, folder: str) -> None:
    """Save what `restore` expects."""
    saver = saver_class(kind)(variables(case), **options(case))
    numeric = [v for v in v1.global_variables() if v.dtype.base_dtype != tf.string]
    initializers = [variable.initializer for variable in v1.global_variables()]
    add = [v1.assign(v, tf.cast(tf.cast(v, tf.float64) + 1, v.dtype.base_dtype)) for v in numeric]
    with v1.Session(config=TWO_DEVICES) as session:
        session.run(initializers)
        session.run(add)  # no initializer makes these values
        saver.save(session, os.path.join(folder, "model"), global_step=7)
        with open(os.path.join(folder, "expected.pickle"), "wb") as file:
            pickle.dump(values(session), file)


def restore(kind: str, case: str, folder: str) -> None:
    """Restore without having initialised anything, and compare."""
    saver = saver_class(kind)(variables(case), **options(case))
    with v1.Session(config=TWO_DEVICES) as session:
        saver.restore(session, tf.train.latest_checkpoint(folder))
        with open(os.path.join(folder, "expected.pickle"), "rb") as file:
            wanted = pickle.load(file)
        for ours, theirs in zip(values(session), wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def saver_class(kind: str) -> Any:
    """TensorFlow's or ours."""
    if kind == "tensorflow":
        return v1.train.Saver
    from ckptfast.tf.saver import Saver

    return Saver


def main() -> None:
    """Do it for every case, and print how it went."""
    action, kind, root = sys.argv[1:]
    outcomes = {}
    for case in CASES:
        folder = os.path.join(root, case)
        os.makedirs(folder, exist_ok=True)
        try:
            with tf.Graph().as_default():
                (save if action == "save" else restore)(kind, case, folder)
            outcomes[case] = "ok"
        except Exception:
            outcomes[case] = traceback.format_exc()
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()

"""`ckptfast.SavedModelBuilder`: TensorFlow's builder, with a `ckptfast.Saver`."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf

from ..saver import Saver


class SavedModelBuilder(tf.compat.v1.saved_model.Builder):  # type: ignore[misc]
    """TensorFlow's `tf.compat.v1.saved_model.Builder`, which saves variables with ckptfast.

    Methods, arguments (`tags`, `signature_def_map`, `assets_collection`, `main_op`,
    `legacy_init_op`, `clear_devices`, `strip_default_attrs`, `saver`), files and errors are
    TensorFlow's; any TensorFlow loads what it writes. The graph that is written has TensorFlow's
    save and restore nodes, as if its own saver had been there, and none of ckptfast's.

    `export_dir` is a folder that is empty or not there yet, else `AssertionError`. Durability,
    alignment and the like are those of `ckptfast.configure`; pass a `ckptfast.Saver` as `saver` for
    others. A saver of TensorFlow's own class that is passed does its own work.
    """

    def __init__(self, export_dir: str | bytes | os.PathLike[str]) -> None:
        super().__init__(os.fspath(export_dir))

    def _maybe_create_saver(self, saver: Any = None) -> Any:
        # What TensorFlow's builder makes here, arguments included.
        return saver or Saver(sharded=True, allow_empty=True)

"""TensorFlow's ways to begin a training with values of a checkpoint."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from .. import _paths, _remote, _stats
from ..errors import CheckpointError

# TensorFlow's own, also under `install()`, which replaces them everywhere but here.
_init_from_checkpoint = tf.compat.v1.train.init_from_checkpoint
_warm_start = tf.compat.v1.train.warm_start
# While TensorFlow's `warm_start` calls the other, which is then counted with it.
_within = contextvars.ContextVar("within warm_start", default=False)


def init_from_checkpoint(
    ckpt_dir_or_file: _paths.AnyPath,
    assignment_map: Mapping[str, Any] | Iterable[tuple[str, Any]],
) -> None:
    """Let variables of the default graph begin with tensors of a checkpoint.

    As `tf.compat.v1.train.init_from_checkpoint`, with its arguments, results and errors. Besides
    what that takes, `ckpt_dir_or_file` may be any file of a checkpoint or a SavedModel directory.

    `assignment_map` maps, or lists pairs of, names in the checkpoint and variables, names of
    variables, or lists of the parts of a partitioned variable; "old/" and "new/" mean all in these
    scopes, and "/" the root.

        >>> ckptfast.init_from_checkpoint("bert/model.ckpt", {"bert/": "encoder/"})
        >>> ckptfast.finetune.initialize_uninitialized(session)

    Nothing is read now. The initializer of each variable becomes a `RestoreV2` of TensorFlow, which
    it has to be: the graph may be exported, or run by another process. Where
    `finetune.initialize_uninitialized` or `restore(on_missing="initialize")` initialises the
    variables of a local session, the values are read by ckptfast; by
    `tf.global_variables_initializer()`, by those operations. `restore(rename={"bert/":
    "encoder/"})`, in the `init_fn` of a `Scaffold` for example, needs none. Every call counts as a
    fallback in `ckptfast.stats()`.
    """
    _init_from_checkpoint(_prefix(ckpt_dir_or_file), assignment_map)
    if not _within.get():
        _stats.count_fallback("init_from_checkpoint: RestoreV2 in the graph")


def warm_start(
    ckpt_to_initialize_from: _paths.AnyPath,
    vars_to_warm_start: Any = ".*",
    var_name_to_vocab_info: Mapping[str, Any] | None = None,
    var_name_to_prev_var_name: Mapping[str, str] | None = None,
) -> None:
    """Let variables of the default graph begin with those of the same name in a checkpoint.

    As `tf.compat.v1.train.warm_start`, with its arguments, results and errors.

    - `vars_to_warm_start`: a regular expression for the names of trainable variables; a list of
      such for all global ones; a list of variables; or `None` for those in
      `var_name_to_vocab_info` alone.
    - `var_name_to_vocab_info`: by the name of a variable, a `tf.compat.v1.train.VocabInfo`. The
      rows (or columns) of its words are found by the old and new vocabulary file.
    - `var_name_to_prev_var_name`: names of variables, and what the checkpoint calls them.

    As with `init_from_checkpoint`, operations of TensorFlow go into the graph (for vocabularies
    a `LoadAndRemapMatrix`) and counted as a fallback. Where words were only added at the end, or
    removed there, `restore(on_mismatch="slice")` does without them.
    """
    outside = _within.set(True)
    try:
        _warm_start(
            _prefix(ckpt_to_initialize_from),
            vars_to_warm_start,
            var_name_to_vocab_info,
            var_name_to_prev_var_name,
        )
    finally:
        _within.reset(outside)
    _stats.count_fallback("warm_start: RestoreV2 in the graph")


def _prefix(path: _paths.AnyPath) -> Any:
    """What TensorFlow's functions take for it. Where there is nothing, they say so themselves."""
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if _remote.is_remote(path):
        return path
    try:
        return os.fspath(_paths.resolve(path).prefix)
    except (CheckpointError, OSError):
        return path

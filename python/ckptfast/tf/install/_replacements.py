"""The functions that take the place of TensorFlow's.

They are ckptfast's, with TensorFlow's own types as results. Files on other file systems stay with
the function that was replaced: ckptfast itself would read them through it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tensorflow.python.training import checkpoint_state_pb2

from ... import _checkpoint_reader, _checkpoints, _remote
from .. import _warm_start
from ..graphs import _export
from ..objects import _source
from ..saver import _config, _state_file

Function = Callable[..., Any]


def replacement(name: str, original: Function) -> Function:
    """What replaces TensorFlow's function `name`. A new object: only `install()` hands it out."""
    ours = _OURS[name]

    @functools.wraps(original)
    def replaced(*arguments: Any, **keywords: Any) -> Any:
        if name not in _COUNTED and _is_remote(arguments, keywords):
            return original(*arguments, **keywords)
        return ours(*arguments, **keywords)

    return replaced


def _is_remote(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    first = (
        arguments[0] if arguments else next((keywords[key] for key in _FIRST & set(keywords)), "")
    )
    items = first if isinstance(first, list | tuple) else [first]
    return any(isinstance(item, str | bytes) and _remote.is_remote(item) for item in items)


# What TensorFlow calls the argument that says which file or folder.
_FIRST = frozenset(
    {
        "checkpoint_dir",
        "checkpoint_prefix",
        "checkpoint_prefixes",
        "ckpt_dir_or_file",
        "filepattern",
        "save_dir",
    }
)


def _new_checkpoint_reader(filepattern: Any) -> Any:
    # That of a folder is an error in TensorFlow, by which tf_keras knows that it is a SavedModel.
    _source.refuse_directory(filepattern)
    return _checkpoint_reader.NewCheckpointReader(filepattern)


def _get_checkpoint_state(checkpoint_dir: Any, latest_filename: str | None = None) -> Any:
    state = _checkpoints.get_checkpoint_state(checkpoint_dir, latest_filename)
    if state is None:
        return None
    return checkpoint_state_pb2.CheckpointState(
        model_checkpoint_path=state.model_checkpoint_path,
        all_model_checkpoint_paths=state.all_model_checkpoint_paths,
        all_model_checkpoint_timestamps=state.all_model_checkpoint_timestamps,
        last_preserved_timestamp=state.last_preserved_timestamp or None,
    )


def _update_state(
    save_dir: Any,
    model_checkpoint_path: str,
    all_model_checkpoint_paths: Any = None,
    latest_filename: str | None = None,
    save_relative_paths: bool = False,
    all_model_checkpoint_timestamps: Any = None,
    last_preserved_timestamp: float | None = None,
) -> None:
    """What savers and managers write their state file with: on disk, if checkpoints are."""
    _state_file.update(
        save_dir,
        model_checkpoint_path,
        all_model_checkpoint_paths,
        latest_filename,
        all_model_checkpoint_timestamps,
        last_preserved_timestamp,
        relative=save_relative_paths,
        durability=_config.options().durability,
    )


# These call TensorFlow's functions themselves, and count it.
_COUNTED = frozenset({"init_from_checkpoint", "warm_start"})
_OURS: dict[str, Function] = {
    "NewCheckpointReader": _new_checkpoint_reader,
    "checkpoint_exists": _checkpoints.checkpoint_exists,
    "checkpoints_iterator": _checkpoints.checkpoints_iterator,
    "export_meta_graph": _export.export_meta_graph,
    "get_checkpoint_mtimes": _checkpoints.get_checkpoint_mtimes,
    "get_checkpoint_state": _get_checkpoint_state,
    "init_from_checkpoint": _warm_start.init_from_checkpoint,
    "latest_checkpoint": _checkpoints.latest_checkpoint,
    "list_variables": _checkpoint_reader.list_variables,
    "load_checkpoint": _checkpoint_reader.load_checkpoint,
    "load_variable": _checkpoint_reader.load_variable,
    "remove_checkpoint": _checkpoints.remove_checkpoint,
    "update_checkpoint_state": _checkpoints.update_checkpoint_state,
    "update_checkpoint_state_internal": _update_state,
    "warm_start": _warm_start.warm_start,
}

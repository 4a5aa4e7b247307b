"""What `install()` replaces: functions of TensorFlow, each with the module that defines it.

Every module that holds one of them under any name is changed, TensorFlow's public modules as well
as users' own; so each function stands here once.

What is not here follows by itself. `Saver` is replaced in its constructor (see `_saver_class`), so
`import_meta_graph`, `MonitoredTrainingSession`, `CheckpointSaverHook`, `Supervisor`, `Scaffold` and
the SavedModel builder and loader, which all call it, get a `ckptfast.Saver`. `write_graph` and
freezing begin with `Graph.as_graph_def()`, which leaves nodes of ours out with or without
`install()`. What saves object graphs is replaced method by method (see `_object_classes`).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Row(NamedTuple):
    """A function `name` of `module`; `replacements` has one of the same name to replace it."""

    module: str
    name: str


_MANAGEMENT: Final = "tensorflow.python.checkpoint.checkpoint_management"
_UTILS: Final = "tensorflow.python.training.checkpoint_utils"
_READER: Final = "tensorflow.python.training.py_checkpoint_reader"
_SAVER: Final = "tensorflow.python.training.saver"
_WARM_START: Final = "tensorflow.python.training.warm_starting_util"

ROWS: Final = (
    Row(_MANAGEMENT, "checkpoint_exists"),
    Row(_MANAGEMENT, "get_checkpoint_mtimes"),
    Row(_MANAGEMENT, "get_checkpoint_state"),
    Row(_MANAGEMENT, "latest_checkpoint"),
    Row(_MANAGEMENT, "remove_checkpoint"),
    Row(_MANAGEMENT, "update_checkpoint_state"),
    Row(_MANAGEMENT, "update_checkpoint_state_internal"),
    Row(_UTILS, "checkpoints_iterator"),
    Row(_UTILS, "init_from_checkpoint"),
    Row(_UTILS, "list_variables"),
    Row(_UTILS, "load_checkpoint"),
    Row(_UTILS, "load_variable"),
    Row(_READER, "NewCheckpointReader"),
    Row(_SAVER, "export_meta_graph"),
    Row(_WARM_START, "warm_start"),
)

"""Fast, safe reading and writing of TensorFlow checkpoints, with or without TensorFlow.

Nothing is loaded until it is used: neither NumPy nor TensorFlow at import.
"""

from __future__ import annotations

# What `typing` would say, without the 10 ms that importing it takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import keras
    from ._best import BestCheckpoint, best_checkpoint
    from ._bundle import Reader, TensorInfo, open
    from ._checkpoint_reader import (
        CheckpointReader,
        NewCheckpointReader,
        list_variables,
        load_checkpoint,
        load_variable,
    )
    from ._checkpoints import (
        checkpoint_exists,
        checkpoints_iterator,
        generate_checkpoint_state_proto,
        get_checkpoint_mtimes,
        get_checkpoint_state,
        latest_checkpoint,
        remove_checkpoint,
        update_checkpoint_state,
    )
    from ._events import GraphEvent, ScalarEvent, events
    from ._load import VerifyReport, load, verify
    from ._memory import release_memory
    from ._reshard import reshard
    from ._state import CheckpointState
    from ._stats import Stats, stats
    from ._writer import Tensor, merge, save
    from .conversion import ConvertReport, convert
    from .errors import (
        CheckpointError,
        DataLossError,
        NotFoundError,
        UnsupportedError,
    )
    from .freezing import FreezeReport, freeze
    from .tf import RestoreReport, finetune, restore
    from .tf._initial import uninitialized
    from .tf._warm_start import init_from_checkpoint, warm_start
    from .tf.freezing._convert import (
        convert_variables_to_constants,
        convert_variables_to_constants_v2,
    )
    from .tf.freezing._freeze_graph import freeze_graph
    from .tf.freezing._sub_graph import extract_sub_graph, remove_training_nodes
    from .tf.graphs._export import export_meta_graph
    from .tf.graphs._files import import_graph_def, write_graph
    from .tf.graphs._import import import_meta_graph
    from .tf.install import install, uninstall
    from .tf.objects import Checkpoint, CheckpointManager, load_tensors
    from .tf.saved_models import SavedModelBuilder, saved_model_load
    from .tf.saver import Saver, configure

# Where each public name lives.
_HOMES = {
    "BestCheckpoint": "_best",
    "best_checkpoint": "_best",
    "Reader": "_bundle",
    "TensorInfo": "_bundle",
    "open": "_bundle",
    "CheckpointReader": "_checkpoint_reader",
    "NewCheckpointReader": "_checkpoint_reader",
    "list_variables": "_checkpoint_reader",
    "load_checkpoint": "_checkpoint_reader",
    "load_variable": "_checkpoint_reader",
    "checkpoint_exists": "_checkpoints",
    "checkpoints_iterator": "_checkpoints",
    "generate_checkpoint_state_proto": "_checkpoints",
    "get_checkpoint_mtimes": "_checkpoints",
    "get_checkpoint_state": "_checkpoints",
    "latest_checkpoint": "_checkpoints",
    "remove_checkpoint": "_checkpoints",
    "update_checkpoint_state": "_checkpoints",
    "GraphEvent": "_events",
    "ScalarEvent": "_events",
    "events": "_events",
    "VerifyReport": "_load",
    "load": "_load",
    "verify": "_load",
    "release_memory": "_memory",
    "reshard": "_reshard",
    "CheckpointState": "_state",
    "Stats": "_stats",
    "stats": "_stats",
    "Tensor": "_writer",
    "merge": "_writer",
    "save": "_writer",
    "ConvertReport": "conversion",
    "convert": "conversion",
    "CheckpointError": "errors",
    "DataLossError": "errors",
    "NotFoundError": "errors",
    "UnsupportedError": "errors",
    "FreezeReport": "freezing",
    "freeze": "freezing",
    "RestoreReport": "tf",
    "finetune": "tf",
    "restore": "tf",
    "uninitialized": "tf._initial",
    "init_from_checkpoint": "tf._warm_start",
    "warm_start": "tf._warm_start",
    "convert_variables_to_constants": "tf.freezing._convert",
    "convert_variables_to_constants_v2": "tf.freezing._convert",
    "freeze_graph": "tf.freezing._freeze_graph",
    "extract_sub_graph": "tf.freezing._sub_graph",
    "remove_training_nodes": "tf.freezing._sub_graph",
    "export_meta_graph": "tf.graphs._export",
    "import_graph_def": "tf.graphs._files",
    "write_graph": "tf.graphs._files",
    "import_meta_graph": "tf.graphs._import",
    "install": "tf.install",
    "uninstall": "tf.install",
    "Checkpoint": "tf.objects",
    "CheckpointManager": "tf.objects",
    "load_tensors": "tf.objects",
    "SavedModelBuilder": "tf.saved_models",
    "saved_model_load": "tf.saved_models",
    "Saver": "tf.saver",
    "configure": "tf.saver",
}

__all__ = [
    "BestCheckpoint",
    "Checkpoint",
    "CheckpointError",
    "CheckpointManager",
    "CheckpointReader",
    "CheckpointState",
    "ConvertReport",
    "DataLossError",
    "FreezeReport",
    "GraphEvent",
    "NewCheckpointReader",
    "NotFoundError",
    "Reader",
    "RestoreReport",
    "SavedModelBuilder",
    "Saver",
    "ScalarEvent",
    "Stats",
    "Tensor",
    "TensorInfo",
    "UnsupportedError",
    "VerifyReport",
    "__version__",
    "best_checkpoint",
    "checkpoint_exists",
    "checkpoints_iterator",
    "configure",
    "convert",
    "convert_variables_to_constants",
    "convert_variables_to_constants_v2",
    "events",
    "export_meta_graph",
    "extract_sub_graph",
    "finetune",
    "freeze",
    "freeze_graph",
    "generate_checkpoint_state_proto",
    "get_checkpoint_mtimes",
    "get_checkpoint_state",
    "import_graph_def",
    "import_meta_graph",
    "init_from_checkpoint",
    "install",
    "keras",
    "latest_checkpoint",
    "list_variables",
    "load",
    "load_checkpoint",
    "load_tensors",
    "load_variable",
    "merge",
    "open",
    "release_memory",
    "remove_checkpoint",
    "remove_training_nodes",
    "reshard",
    "restore",
    "save",
    "saved_model_load",
    "stats",
    "uninitialized",
    "uninstall",
    "update_checkpoint_state",
    "verify",
    "warm_start",
    "write_graph",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("ckptfast")
    elif name in _HOMES:
        value = getattr(_load_home(name), name)
    elif name == "keras":
        import importlib

        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _load_home(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f".{_HOMES[name]}", __name__)
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise ImportError(
            f"ckptfast.{name} needs TensorFlow; install it with: pip install 'ckptfast[tensorflow]'"
        ) from error


def __dir__() -> list[str]:
    return __all__

"""`ckptfast.saved_model_load`: TensorFlow's loader, with a `ckptfast.Saver`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from tensorflow.python.saved_model import loader_impl

from ..graphs import _import


def saved_model_load(
    sess: Any,
    tags: Iterable[str],
    export_dir: str | bytes | os.PathLike[str],
    import_scope: str | None = None,
    **saver_kwargs: Any,
) -> Any:
    """Load a SavedModel's graph into the graph of `sess`, and its variables into `sess`.

    Arguments, result (the `MetaGraphDef`), order (graph, variables, initialisation operation with
    the paths of the assets) and errors are those of `tf.compat.v1.saved_model.load`: `tags` are
    exactly those of one meta graph, else `RuntimeError` lists what there is; `saver_kwargs` go to
    `import_meta_graph` (`clear_devices`, `input_map`, …). Variables are restored as
    `ckptfast.Saver` does it. What only TensorFlow's nodes can restore they do, as for a SavedModel
    of TensorFlow 2, and `ckptfast.stats().fallbacks` counts it.
    """
    loader = _Loader(os.fspath(export_dir))
    return loader.load(sess, tags, import_scope, **saver_kwargs)


class _Loader(loader_impl.SavedModelLoader):  # type: ignore[misc]
    def load_graph(
        self, graph: Any, tags: Any, import_scope: str | None = None, **saver_kwargs: Any
    ) -> Any:
        found = self.get_meta_graph_def_from_tags(tags)
        with graph.as_default():
            return _import.import_with_elements(found, import_scope=import_scope, **saver_kwargs)

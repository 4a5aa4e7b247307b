"""`ckptfast.Saver`."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy
import tensorflow as tf
from tensorflow.core.protobuf import saver_pb2
from tensorflow.python.checkpoint import checkpoint_management
from tensorflow.python.client import session as session_module
from tensorflow.python.eager import context
from tensorflow.python.ops import variables
from tensorflow.python.training import saver as stock
from tensorflow.python.training import training_util
from tensorflow.python.util import compat as text

from ... import _fingerprint, _paths, _remote, _stats
from ..._bundle import open_private, while_replaced
from ..._checkpoints import remove_listed
from ..._files import Durability
from ...errors import CheckpointError, DataLossError
from .. import _callbacks, _session
from .._errors import combined
from .._targets import Target
from ..graphs import _export, _saver_def, _savers, _size, _standard_nodes
from . import (
    _config,
    _eager_values,
    _folder,
    _metrics,
    _restore,
    _standard,
    _state_file,
    _wanted,
    _write,
)
from ._config import UNSET, Compat, Unset
from ._snapshot import Snapshots

_V2 = saver_pb2.SaverDef.V2
_BUILDERS = (stock.BulkSaverBuilder, stock.BaseSaverBuilder)


class Saver(tf.compat.v1.train.Saver):  # type: ignore[misc]
    """TensorFlow's `Saver` for sessions, several times faster.

    Arguments, results, files, side effects and exceptions are those of
    `tf.compat.v1.train.Saver`; docs/compatibility.md lists where it is deliberately better. The
    keyword-only arguments are ckptfast's; `ckptfast.configure` explains them and sets their
    defaults. `delete_all_excess=True` deletes every checkpoint above `max_to_keep` at a save, not
    one at most.

    What only TensorFlow's operations can do (a custom `builder`, the V1 format, remote sessions,
    variants) they do; `ckptfast.stats()` counts it under `fallbacks`. TensorFlow's nodes are added
    to the graph when something asks for them: `saver_def`, `as_saver_def()`, an exporter.
    """

    def __init__(
        self,
        var_list: Any = None,
        reshape: bool = False,
        sharded: bool = False,
        max_to_keep: int | None = 5,
        keep_checkpoint_every_n_hours: float = 10000.0,
        name: str | None = None,
        restore_sequentially: bool = False,
        saver_def: Any = None,
        builder: Any = None,
        defer_build: bool = False,
        allow_empty: bool = False,
        write_version: int = _V2,
        pad_step_number: bool = False,
        save_relative_paths: bool = False,
        filename: str | None = None,
        *,
        durability: Durability | Unset = UNSET,
        align: int | Unset = UNSET,
        verify: bool | Unset = UNSET,
        copy: bool | Unset | None = UNSET,
        compat: Compat | Unset = UNSET,
        delete_all_excess: bool = False,
    ) -> None:
        self._var_list: Any
        self._is_built: bool
        self._is_empty: bool | None
        self._last_checkpoints: list[tuple[str, float]]
        self._file_options = _config.options(durability, align, verify, copy, compat)
        self._delete_all_excess = delete_all_excess
        self._is_foreign = False  # a `SaverDef` whose nodes do what only they know
        self._target_graph: Any = None
        self._listed: Any = None  # what TensorFlow's builder is given
        self._node_scope: str | None = None
        self._snapshots: Snapshots | None = None
        self._stored_form: _write.Form | None = None
        self._definition: Any = None  # TensorFlow's, whose nodes are in the graph
        self._shown: Any = None  # one without nodes, that somebody may have changed
        self._is_constructed = False
        # Not while TensorFlow's constructor looks at `saver_def`, but for methods of a subclass.
        self._on_demand = _overrides(self, "build", "_build")
        super().__init__(
            var_list,
            reshape,
            sharded,
            max_to_keep,
            keep_checkpoint_every_n_hours,
            name,
            restore_sequentially,
            saver_def,
            builder,
            defer_build,
            allow_empty,
            write_version,
            pad_step_number,
            save_relative_paths,
            filename,
        )
        self._on_demand = self._is_constructed = True

    def _is_in_constructor(self) -> bool:
        """Whether TensorFlow's constructor is at work, for ours."""
        return self.__dict__.get("_is_constructed") is False

    # ------------------------------------------------------------------ TensorFlow's own nodes

    @property
    def saver_def(self) -> Any:
        """The `SaverDef`; TensorFlow's save and restore nodes are made when it is first read.

        In a finalized graph it names the nodes that an exported meta graph has.
        """
        if self._definition is None and self._on_demand and self._snapshots is not None:
            if self._target_graph.finalized:
                self._shown = _savers.definition(self).saver_def
                return self._shown
            self._definition = _standard.build(self)
            if self._shown is not None:
                self._definition.max_to_keep = self._shown.max_to_keep
        return self._definition

    @saver_def.setter
    def saver_def(self, definition: Any) -> None:
        if self._on_demand and self._snapshots is not None and definition is not self._definition:
            self._snapshots = None  # from now on its nodes say what is saved
            self._is_foreign = False
        self._definition = definition

    def build(self) -> None:
        """Make TensorFlow's save and restore nodes, and take the variables if that was deferred."""
        super().build()
        if self._on_demand and self._snapshots is not None and not self._target_graph.finalized:
            self._definition = self.saver_def

    @staticmethod
    def from_proto(saver_def: Any, import_scope: str | None = None) -> Saver:
        """A saver for the nodes that a `SaverDef` names, in the default graph."""
        return Saver(saver_def=saver_def, name=import_scope)

    def _has_custom_builder(self) -> bool:
        return self._builder is not None and type(self._builder) not in _BUILDERS

    def _build(self, checkpoint_path: str, build_save: bool, build_restore: bool) -> None:
        """What TensorFlow's constructor and `build()` call; in eager mode nothing is built."""
        eager = context.executing_eagerly()
        in_function = not eager and tf.compat.v1.get_default_graph().building_function
        given = self._definition is not None
        if eager or in_function or given or self._has_custom_builder():
            super()._build(checkpoint_path, build_save, build_restore)
            return
        if self._is_built:
            return
        self._is_built = True
        if self._var_list is None:
            self._var_list = variables._all_saveable_objects()
        self._is_empty = not self._var_list
        if self._is_empty and not self._allow_empty:
            raise ValueError("No variables to save")
        if not self._is_empty:
            targets, self._listed = _wanted.with_saveables(self._var_list)
            if self._sharded:
                _wanted.by_device(targets)  # complains as TensorFlow does
            graph = tf.compat.v1.get_default_graph()
            self._take_targets(graph, targets)
            if self._write_version != _V2 or (self._needs_nodes() and not graph.finalized):
                self._definition = _standard.build(self)
        limits = _limits_of(self)  # complains of wrong types as TensorFlow's constructor does
        self._next_checkpoint_time = time.time() + limits.keep_checkpoint_every_n_hours * 3600

    def _needs_nodes(self) -> bool:
        """Whether a later restore, or a meta graph, cannot do without TensorFlow's nodes."""
        targets = self._snapshots.targets if self._snapshots is not None else []
        unclear = self._reshape and not _restore.can_reshape(targets)
        return unclear or not _standard_nodes.is_possible(targets)

    def __getstate__(self) -> dict[str, Any]:
        """For `copy` and `pickle`, which a saver from a `SaverDef` allows: without its graph."""
        state = dict(vars(self))
        if self._var_list is None:  # then the `SaverDef` says again what it is for
            state |= dict.fromkeys(("_target_graph", "_snapshots", "_stored_form"))
        return state

    def _take_targets(self, graph: Any, targets: list[Target]) -> None:
        """Save and restore `targets` of `graph` from now on."""
        self._target_graph = graph
        if self._definition is None:
            self._node_scope = _standard.reserve(graph, self._name)
        self._snapshots = Snapshots(graph, targets)
        self._stored_form = _write.Form(targets)
        _restore.prepare(graph, targets)
        _callbacks.prepare(graph, targets)

    # -------------------------------------------------------------------------------- list

    def _limits(self) -> tuple[int, float, int]:
        """`max_to_keep`, hours between checkpoints that are kept for good, format version."""
        found = self._definition or self._shown
        if found is None:
            hours = float(numpy.float32(self._keep_checkpoint_every_n_hours or 0))
            return self._max_to_keep or 0, hours, self._write_version
        return found.max_to_keep, found.keep_checkpoint_every_n_hours, found.version

    def _RecordLastCheckpoint(self, latest_save_path: str) -> None:
        limit = self._limits()[0]
        if not limit:
            return
        # The list stays the same: copies of the saver, and whoever set it, may hold it.
        self._last_checkpoints[:] = [
            pair
            for pair in self._last_checkpoints
            if self._CheckpointFilename(pair) != latest_save_path
        ]
        self._last_checkpoints.append((latest_save_path, time.time()))
        excess = len(self._last_checkpoints) - max(limit, 0)  # below 0 nothing is kept
        for _ in range(excess if self._delete_all_excess else min(excess, 1)):
            self._checkpoints_to_be_deleted.append(self._last_checkpoints.pop(0))

    def _MaybeDeleteOldCheckpoints(self, meta_graph_suffix: str = "meta") -> None:
        _, hours, version = self._limits()
        while self._checkpoints_to_be_deleted:
            pair = self._checkpoints_to_be_deleted.pop(0)
            if pair[1] > self._next_checkpoint_time:
                self._next_checkpoint_time += hours * 3600
            else:
                try:
                    remove_listed(self._CheckpointFilename(pair), version, meta_graph_suffix)
                except Exception as error:
                    tf.compat.v1.logging.warning("Ignoring: %s", str(error))
            if not self._delete_all_excess:
                return

    # -------------------------------------------------------------------------------- save

    def save(
        self,
        sess: Any,
        save_path: str,
        global_step: Any = None,
        latest_filename: str | None = None,
        meta_graph_suffix: str = "meta",
        write_meta_graph: bool = True,
        write_state: bool = True,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
    ) -> str | None:
        """Save the variables of `sess` (`None` in eager mode); returns the prefix of the files.

        The arguments, the result and the errors are those of `tf.compat.v1.train.Saver.save`. In
        this order are written: data, index, state file; then an old checkpoint is deleted; then
        the meta graph is written. A save that fails leaves every earlier checkpoint as it was.
        """
        begin = time.time()
        eager = context.executing_eagerly()
        if eager and self._allow_empty and not self._var_list:
            self._is_empty = True
        if not self._is_built and not eager:
            raise RuntimeError("`build()` should be called before save if defer_build==True")
        if self._write_version != _V2:
            _warn_of_v1()
        if latest_filename is None:
            latest_filename = "checkpoint"
        if os.path.split(latest_filename)[0]:
            raise ValueError("'latest_filename' must not contain path components")
        save_path = text.as_str(save_path)
        file = self._prefix_of(sess, save_path, global_step, latest_filename)
        if not eager and not isinstance(sess, session_module.SessionInterface):
            raise TypeError(f"'sess' must be a Session; {sess}")
        saved = None
        if not self._is_empty:
            session = None if eager else _session_of(sess)
            with _folder.explaining(save_path):
                saved = self._save_values(session, save_path, file)
                if write_state:
                    self._write_state(saved, save_path, latest_filename, meta_graph_suffix)
        _metrics.saved(begin)
        if write_meta_graph and not eager:
            path = checkpoint_management.meta_graph_filename(
                file, meta_graph_suffix=meta_graph_suffix
            )
            with sess.graph.as_default(), _size.after_saving(saved):
                self.export_meta_graph(
                    path, strip_default_attrs=strip_default_attrs, save_debug_info=save_debug_info
                )
        if saved is not None:
            _metrics.size(saved)
        return saved

    def _prefix_of(self, sess: Any, save_path: str, global_step: Any, latest_filename: str) -> str:
        """The prefix to write: `save_path` and the step."""
        if global_step is None:
            if os.path.basename(save_path) == latest_filename and not self._sharded:
                raise ValueError(
                    f"'latest_filename' collides with 'save_path': '{latest_filename}' and "
                    f"'{save_path}'"
                )
            return save_path
        if not isinstance(global_step, text.integral_types):
            global_step = training_util.global_step(sess, global_step)
        if self._pad_step_number:
            return f"{save_path}-{global_step:08d}"
        return f"{save_path}-{int(global_step)}"

    def _save_values(self, session: Any, save_path: str, file: str) -> str:
        """Write data and index; returns the path to restore from."""
        reason = self._why_not_fast(session, saving=True)
        if reason is not None:
            _stats.count_fallback(reason)
            with _fingerprint.kept_right(file, self._file_options.durability):
                return self._save_by_tensorflow(session, file)
        if session is None:
            targets = self._eager_targets()
            form = _write.Form(targets)
            values = _eager_values.take(targets)
            self._definition = _eager_definition(self, file)
        else:
            assert self._snapshots is not None and self._stored_form is not None
            form = self._stored_form
            values = self._snapshots.take(session)
        _folder.check(save_path)
        sharded = self._is_sharded()
        with _callbacks.saving(session, file, sharded=sharded):
            _write.write(file, form, values, self._file_options, sharded=sharded)
        return file

    def _write_state(
        self, saved: str, save_path: str, latest_filename: str, meta_graph_suffix: str
    ) -> None:
        self._RecordLastCheckpoint(saved)
        _state_file.update(
            _paths.parent(save_path),
            saved,
            self.last_checkpoints,
            latest_filename,
            relative=self._save_relative_paths,
            durability=self._file_options.durability,
        )
        self._MaybeDeleteOldCheckpoints(meta_graph_suffix=meta_graph_suffix)

    def export_meta_graph(
        self,
        filename: str | None = None,
        collection_list: Sequence[str] | None = None,
        as_text: bool = False,
        export_scope: str | None = None,
        clear_devices: bool = False,
        clear_extraneous_savers: bool = False,
        strip_default_attrs: bool = False,
        save_debug_info: bool = False,
    ) -> Any:
        """The `MetaGraphDef` of the default graph with this saver, as TensorFlow would write it."""
        return _export.export(
            self,
            filename,
            collection_list=collection_list,
            as_text=as_text,
            export_scope=export_scope,
            clear_devices=clear_devices,
            clear_extraneous_savers=clear_extraneous_savers,
            strip_default_attrs=strip_default_attrs,
            save_debug_info=save_debug_info,
        )

    # ----------------------------------------------------------------------------- restore

    def restore(self, sess: Any, save_path: str) -> None:
        """Restore the variables of `sess` (`None` in eager mode) from the checkpoint `save_path`.

        All names, types, shapes and checksums are checked before the first variable changes.
        `save_path` may also be a folder, for its latest whole checkpoint, or a file of the
        checkpoint, and any `os.PathLike`. The errors are those of
        `tf.compat.v1.train.Saver.restore`.
        """
        begin = time.time()
        if self._is_empty:
            return
        if save_path is None:
            raise ValueError("Can't load save_path when it is None.")
        path = text.as_text(text.path_to_str(save_path))
        session = None if context.executing_eagerly() else _session_of(sess)
        reason = self._why_not_fast(session, saving=False)
        if reason is not None:
            _stats.count_fallback(reason)
            super().restore(session, path)
            return
        tf.compat.v1.logging.info("Restoring parameters from %s", path)
        try:
            self._restore_values(session, path)
        except tf.errors.OpError:
            raise
        except (CheckpointError, OSError) as error:
            raise combined(error) from error.__cause__
        _metrics.restored(begin)

    def _restore_values(self, session: Any, path: str) -> None:
        options = self._file_options

        def read() -> None:
            with _open(path, options) as reader, _callbacks.restoring(session, reader):
                if session is None:
                    targets = self._eager_targets()
                    _restore.restore_eagerly(reader, targets, options)
                else:
                    assert self._snapshots is not None
                    _restore.restore(
                        session, reader, self._snapshots, options, reshape=self._reshape
                    )

        while_replaced(read)

    # -------------------------------------------------------------------------------- both

    def _eager_targets(self) -> list[Target]:
        if not self._var_list:
            if not self._allow_empty:
                raise ValueError("No variables to save")
            self._is_empty = True
        return _wanted.targets(self._var_list)

    def _why_not_fast(self, session: Any, *, saving: bool) -> str | None:
        """Why TensorFlow's own nodes do the work, `None` where ckptfast does."""
        if self._has_custom_builder():
            return "custom saver builder"
        if saving and self._write_version != _V2:
            return "V1 format"
        if session is None:
            return "reshape" if self._reshape and not saving else None
        if not isinstance(session, session_module.BaseSession):
            return "session of another class"
        if self._snapshots is None and not self._adopt(session.graph):
            return "saver from a SaverDef"
        assert self._snapshots is not None
        if session.graph is not self._target_graph:
            return "saver of another graph"
        if _session.is_remote(session):
            if self._definition is not None or not self._target_graph.finalized:
                return "remote session"
            _stats.count_fallback("remote session, finalized graph")  # values travel as messages
        if not saving and self._reshape and not _restore.can_reshape(self._snapshots.targets):
            return "reshape"
        return None

    def _adopt(self, graph: Any) -> bool:
        """Learn from the nodes of a `SaverDef` which variables it is for; whether that worked."""
        if graph.finalized or self._is_foreign or self._definition is None:
            return False
        targets = _saver_def.targets_of(graph, self._definition)
        if targets is None:
            self._is_foreign = True
            return False
        self._take_targets(graph, targets)
        return True

    def _is_sharded(self) -> bool:
        return self._sharded or bool(self._definition and self._definition.sharded)

    def _save_by_tensorflow(self, session: Any, file: str) -> str:
        if session is None:
            self._build_eager(file, build_save=True, build_restore=False)
            saved = self.saver_def.save_tensor_name
        else:
            feeds = {self.saver_def.filename_tensor_name: file}
            saved = session.run(self.saver_def.save_tensor_name, feeds)
        path: str = text.as_str(saved)
        return path


def _overrides(saver: Saver, *names: str) -> bool:
    """Whether a subclass has a method of its own of one of these names."""
    return any(getattr(type(saver), name) is not getattr(Saver, name) for name in names)


def _session_of(sess: Any) -> Any:
    """The session itself, also of a `MonitoredSession`; `TypeError` for what is none.

    What wraps one in its own way, and can run what TensorFlow's `Saver` would run, stays as it is.
    """
    try:
        session = _session.unwrap(sess)
    except TypeError:
        if callable(getattr(sess, "run", None)):
            return sess
        raise
    if session._closed:
        raise RuntimeError("Attempted to use a closed Session.")
    return session


def _open(path: str, options: _config.Options) -> Any:
    try:
        if not path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return open_private(path, verify=options.verify, copy=options.copy)
    except FileNotFoundError as error:
        if not _remote.is_remote(path) and os.path.isdir(f"{path}.index"):
            number = errno.EISDIR
            raise OSError(number, os.strerror(number), f"{path}.index") from None
        if path and _remote.exists(path):  # a folder without a checkpoint, say
            raise DataLossError(f"Unable to open table file {path}: {error.strerror}") from None
        raise ValueError(f"The passed save_path is not a valid checkpoint: {path}") from error


def _limits_of(saver: Any) -> Any:
    """A `SaverDef` without nodes. Raises protobuf's `TypeError` and `ValueError`."""
    return saver_pb2.SaverDef(
        max_to_keep=saver._max_to_keep,
        sharded=saver._sharded,
        keep_checkpoint_every_n_hours=saver._keep_checkpoint_every_n_hours,
        version=saver._write_version,
    )


def _eager_definition(saver: Any, file: str) -> Any:
    """What TensorFlow leaves as `saver_def` after a save in eager mode."""
    definition = _limits_of(saver)
    definition.filename_tensor_name = definition.save_tensor_name = file
    return definition


def _warn_of_v1() -> None:
    warning = tf.compat.v1.logging.warning
    warning("*******************************************************")
    warning("TensorFlow's V1 checkpoint format has been deprecated.")
    warning("Consider switching to the more efficient V2 format:")
    warning("   `tf.train.Saver(write_version=tf.train.SaverDef.V2)`")
    warning("now on by default.")
    warning("*******************************************************")

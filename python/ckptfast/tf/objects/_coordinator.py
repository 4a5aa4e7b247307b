"""One restore: what was matched so far, and the assigning of values."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.checkpoint import checkpoint as checkpoint_lib
from tensorflow.python.trackable import base
from tensorflow.python.training.saving import saveable_object_util

from ... import _dtypes, _stats
from ..._object_graph import Values
from . import _assign, _plain
from ._plain import OnlyTensorFlow
from ._source import Source


@dataclasses.dataclass(slots=True)
class Pending:
    """What a walk over the object graph found, before any of it is read.

    - `variables`: plain variables.
    - `keys`: the keys of their values.
    - `saveables`: by name, TensorFlow's way to restore everything else that has tensors.
    - `python`: positions of objects with Python state.
    - `registered`: objects of registered savers, by saver and name.
    """

    variables: list[Any] = dataclasses.field(default_factory=list)
    keys: list[str] = dataclasses.field(default_factory=list)
    saveables: dict[str, Any] = dataclasses.field(default_factory=dict)
    python: list[Any] = dataclasses.field(default_factory=list)
    registered: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


class Coordinator(checkpoint_lib._CheckpointRestoreCoordinator):  # type: ignore[misc]
    """TensorFlow's bookkeeping of one restore, with the checkpoint's `source`.

    `values` is what `message` says, apart from messages: to look at one field of each of thousands
    of them takes longer than to restore the variables.
    """

    def __init__(
        self, source: Source, message: Any, values: Values, path: str, view: Any, options: Any
    ) -> None:
        with tf.device("/cpu:0"):
            path_tensor = tf.constant(source.prefix)
        without_slots = copy.copy(options)
        without_slots.experimental_skip_slot_variables = True
        super().__init__(
            object_graph_proto=message,
            save_path=path,
            save_path_tensor=path_tensor,
            reader=source,
            restore_op_cache={},
            graph_view=view,
            options=without_slots,
            saveables_cache=None,
        )
        self.options = options
        self.source = source
        self.values = values
        if not options.experimental_skip_slot_variables:
            for optimizer, name, variable, slot in values.slots:
                self.slot_restorations[variable].append(
                    base._SlotVariableRestoration(
                        optimizer_id=optimizer, slot_variable_id=slot, slot_name=name
                    )
                )

    def restore_saveables(
        self,
        tensor_saveables: dict[str, Any],
        python_positions: Sequence[Any],
        registered_savers: Any = None,
        reader: Any = None,
    ) -> list[Any]:
        """What TensorFlow calls to restore a single object."""
        self.restore_pending(
            Pending([], [], dict(tensor_saveables), list(python_positions), registered_savers or {})
        )
        return []

    def restore_pending(self, pending: Pending) -> None:
        """Read everything that was found, then assign it."""
        with self.source.held():
            self._read_and_assign(pending)

    def _read_and_assign(self, pending: Pending) -> None:
        ours, theirs = self._sorted(pending.saveables)
        specs = [spec for saveable in ours for spec in saveable.specs]
        plain = [spec for spec in specs if not spec.slice_spec and spec.dtype != tf.variant]
        keys = pending.keys + [spec.name for spec in plain]
        wanted = [
            (variable._dtype._type_enum, variable._shape._dims) for variable in pending.variables
        ]
        types = [number for number, _ in wanted]
        types += [spec.dtype.base_dtype.as_datatype_enum for spec in plain]
        indices = self.source.find(keys)
        tensors = self.source.tensors(keys, types, indices)
        signatures = self.source.signatures
        if wanted != [signatures[index] for index in indices[: len(wanted)]]:
            self._check_shapes(pending.variables, indices)
        given = {
            id(spec): value for spec, value in zip(plain, tensors[len(pending.keys) :], strict=True)
        }
        for spec in specs:
            if id(spec) not in given:
                given[id(spec)] = self._one(spec)
        for position in pending.python:
            key = position.object_proto.attributes[0].checkpoint_key
            position.trackable.deserialize(self.source.get_tensor(key))
        # Methods of other objects may fail; what plain variables get was checked, so they are last.
        for saveable in ours:
            with tf.device(saveable_object_util.set_cpu0(_device(saveable))):
                saveable.restore([given[id(spec)] for spec in saveable.specs], None)
        if theirs:
            super().restore_saveables(theirs, [], None, self.source)
        _assign.assign(pending.variables, tensors, wanted)
        if pending.registered:  # these are the last in TensorFlow too
            _stats.count_fallback("object-based restore: registered saver")
            super().restore_saveables({}, [], pending.registered, self.source)

    def _check_shapes(self, variables: Sequence[Any], indices: Sequence[int]) -> None:
        """Raise `ValueError` where the shape of a variable does not fit, before any is assigned."""
        signatures = self.source.signatures
        for variable, index in zip(variables, indices, strict=False):
            shape = signatures[index][1]
            if not variable.shape.is_compatible_with(shape):
                raise ValueError(
                    f"Received incompatible tensor with shape {tf.TensorShape(shape)} "
                    f"when attempting to restore variable with shape {variable.shape} "
                    f"and name {variable.name}."
                )

    def _sorted(self, saveables: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The saveables that take tensors from us, and those that TensorFlow restores, by name."""
        ours: list[Any] = []
        theirs = {}
        for name, item in saveables.items():
            found = saveable_object_util.validate_and_slice_inputs({name: item})
            try:
                for saveable in found:
                    _check(saveable)
                ours += found
            except OnlyTensorFlow as reason:
                _stats.count_fallback(f"object-based restore: {reason}")
                theirs[name] = item
        return ours, theirs

    def _one(self, spec: Any) -> Any:
        """The value of a spec that is not a whole tensor, or one that no memory can hold."""
        number = spec.dtype.base_dtype.as_datatype_enum
        if number == _dtypes.VARIANT:
            return self.source.by_tensorflow(spec.name, spec.slice_spec, number, "variant tensor")
        return self.source.part(spec.name, spec.slice_spec, number)


def _check(saveable: Any) -> None:
    """Raise `OnlyTensorFlow` unless the saveable can be restored from tensors here."""
    owner = getattr(saveable, "_trackable", None)
    if any(_plain.is_distributed(item) for item in (saveable, owner, saveable.op)):
        raise OnlyTensorFlow("distribution strategy")
    for spec in saveable.specs:
        if not isinstance(spec.name, str) or not isinstance(spec.slice_spec, str):
            raise OnlyTensorFlow("names that are tensors")
        _plain.check_device(spec.device)


def _device(saveable: Any) -> str:
    return str(saveable.specs[0].device) if saveable.specs else "/device:CPU:0"

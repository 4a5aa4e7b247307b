"""Giving variables their tensors: by one operation each, or thousands of one shape by fewer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import tensorflow as tf
from tensorflow.core.framework import function_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import context, core
from tensorflow.python.framework import ops

_ASSIGN: Final = "AssignVariableOp"
_TOGETHER: Final = 64
"""Variables that one call assigns."""
_MANY: Final = 4096
"""From so many variables of one shape on they are assigned together. TensorFlow prepares the call
once for every shape, which takes as long as 2,500 assignments."""
_RESOURCE: Final = tf.resource.as_datatype_enum


Signature = tuple[int, tuple[int | None, ...] | None]
"""Number of the type and shape of a variable."""


def assign(
    variables: Sequence[Any], tensors: Sequence[Any], signatures: Sequence[Signature]
) -> None:
    """Assign the first tensors to the variables, whose `signatures` are known.

    Shapes are not compared. An operation on a resource runs on the device of the resource.
    """
    eager = context.context()
    eager.ensure_initialized()
    alone: Iterable[int] = range(len(variables))
    try:
        if len(variables) >= _MANY and len(eager.devices()) == 1:
            alone = _together(eager, variables, tensors, signatures)
        handle, run = eager._handle, pywrap_tfe.TFE_Py_Execute
        attributes = {
            number: ("dtype", number, "validate_shape", False)
            for number in {number for number, _ in signatures}
        }
        for at in alone:
            # What `assign_variable_op` ends in: thousands of them are most of a restore.
            inputs = [variables[at]._handle, tensors[at]]
            run(handle, "", _ASSIGN, inputs, attributes[signatures[at][0]], 0)
    except core._NotOkStatusException as error:
        ops.raise_from_not_ok_status(error, None)


def _together(
    eager: Any,
    variables: Sequence[Any],
    tensors: Sequence[Any],
    signatures: Sequence[Signature],
) -> list[int]:
    """Assign variables of which there are many alike; the places of all others."""
    alike = defaultdict(list)
    for at, signature in enumerate(signatures):
        alike[signature].append(at)
    alone: list[int] = []
    for (number, _), places in alike.items():
        whole = len(places) // _TOGETHER * _TOGETHER if len(places) >= _MANY else 0
        alone += places[whole:]
        if not whole:
            continue
        attributes = _attributes(eager, number)
        for first in range(0, whole, _TOGETHER):
            group = places[first : first + _TOGETHER]
            inputs = [variables[at]._handle for at in group] + [tensors[at] for at in group]
            pywrap_tfe.TFE_Py_Execute(
                eager._handle, "", "StatefulPartitionedCall", inputs, attributes, 0
            )
    return alone


def _attributes(eager: Any, number: int) -> tuple[Any, ...]:
    """Of a call of the function that assigns as many variables of a type, which is made first."""
    name = f"__ckptfast_assign_{_TOGETHER}_{number}"
    if not eager.has_function(name):
        eager.add_function_def(_function(name, number))
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return (
        *("Tin", [_RESOURCE] * _TOGETHER + [number] * _TOGETHER, "Tout", [], "f", name),
        *("config_proto", config.SerializeToString(), "config", ""),
        *("executor_type", "SINGLE_THREADED_EXECUTOR"),
    )


def _function(name: str, number: int) -> function_pb2.FunctionDef:
    """A function of handles, then values, that assigns each handle its value."""
    function = function_pb2.FunctionDef()
    function.signature.name = name
    function.signature.is_stateful = True
    for at in range(_TOGETHER):
        function.signature.input_arg.add(name=f"handle{at}", type=_RESOURCE)
    for at in range(_TOGETHER):
        function.signature.input_arg.add(name=f"value{at}", type=number)
        node = function.node_def.add(
            name=f"assign{at}", op=_ASSIGN, input=[f"handle{at}", f"value{at}"]
        )
        node.attr["dtype"].type = number
        node.attr["validate_shape"].b = False
        function.signature.control_output.append(node.name)  # else it would be left out
        function.control_ret[node.name] = node.name
    return function

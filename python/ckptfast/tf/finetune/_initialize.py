"""Initial values for what a checkpoint did not fill."""

from __future__ import annotations

from typing import Any

from .. import _initial, _session


def initialize_uninitialized(sess: Any, var_list: Any = None) -> list[str]:
    """Give every variable that has no value its initial one; returns their names.

    `var_list` is a list of variables, by default all global and local ones. What was restored or
    trained is not touched, which is where this differs from `tf.global_variables_initializer()`.
    An initial value that reads other variables is computed after those have theirs.

        >>> ckptfast.restore(session, "pretrained/model", on_missing="skip")
        >>> train = optimizer.minimize(loss)  # makes slots
        >>> ckptfast.finetune.initialize_uninitialized(session)
        ['head/kernel', 'head/bias', 'head/kernel/Momentum', 'head/bias/Momentum']

    Raises `ValueError` for initial values that need each other in a circle and for variables
    without one, before any is run; and what TensorFlow raises for an initial value that cannot be
    computed, for example because it needs a placeholder.
    """
    session = _session.unwrap(sess)
    handles = _initial.without_value(session, _initial.handles_of(session.graph, var_list))
    ops = _initial.initializers(session.graph, handles)
    _initial.initialize(session, handles, ops, _initial.in_order(handles, ops))
    return [handle.op.name for handle in handles]

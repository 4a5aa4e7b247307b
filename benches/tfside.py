"""TensorFlow's side: programs with variables, and checkpoints that TensorFlow writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benches.model import FloatArray, Model

Session = Any
"""A ``tf.compat.v1.Session``; TensorFlow has no type information."""


def tensorflow() -> Any:
    """TensorFlow, imported on first use and without its start-up messages."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    return tf


def write(prefix: Path, tensors: Mapping[str, FloatArray]) -> Path:
    """Writes a bundle with SaveV2, the op behind ``Saver.save``; returns the prefix."""
    tf = tensorflow()
    names = list(tensors)
    with tf.device("/CPU:0"):
        tf.raw_ops.SaveV2(
            prefix=os.fspath(prefix),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.convert_to_tensor(tensors[name]) for name in names],
        )
    return prefix


class Program:
    """A graph with a variable for every tensor of a model, as a user of TensorFlow 1 has it.

    The graph is finalized: whoever restores into it must not add a node.
    """

    def __init__(self, model: Model, *, resource: bool) -> None:
        tf = tensorflow()
        v1 = tf.compat.v1
        self.model = model
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.variables = {
                name: v1.get_variable(
                    name,
                    shape=array.shape,
                    dtype=tf.float32,
                    initializer=v1.zeros_initializer(),
                    use_resource=resource,
                )
                for name, array in model.arrays.items()
            }
            self.saver = v1.train.Saver(list(self.variables.values()), max_to_keep=None)
            self._values = {name: v.read_value() for name, v in self.variables.items()}
            self._ends = {
                name: tf.stack([v.read_value()[0], v.read_value()[-1]])
                for name, v in self.variables.items()
            }
            self._largest = [tf.reduce_max(value) for value in self._values.values()]
        self.graph.finalize()

    def session(self) -> Session:
        """A new session, in which no variable has a value yet."""
        return tensorflow().compat.v1.Session(graph=self.graph)

    def touch(self, session: Session) -> None:
        """Reads every byte of every variable inside the session."""
        session.run(self._largest)

    def check(self, session: Session, version: int, *, whole: bool) -> None:
        """Compares the variables in a session with a version of the model.

        Raises `DifferentValuesError`.  Without `whole`, the first and the last value of each.
        """
        if not whole:
            for name, ends in session.run(self._ends).items():
                self.model.check_ends(name, ends, version)
            return
        for name, value in self._values.items():  # one at a time: each fetch is a copy
            self.model.check_one(name, session.run(value), version, whole=True)

    def restore(self, session: Session, path: str) -> None:
        """``Saver.restore``."""
        with self.graph.as_default():  # else the saver believes that it runs eagerly
            self.saver.restore(session, path)

    def save(self, session: Session, prefix: Path) -> None:
        """``Saver.save`` of the variables alone: no meta graph, no state file."""
        with self.graph.as_default():
            self.saver.save(session, os.fspath(prefix), write_meta_graph=False, write_state=False)


def load(prefix: Path) -> dict[str, FloatArray]:
    """All tensors, by ``load_checkpoint`` and ``get_tensor``."""
    reader = tensorflow().train.load_checkpoint(os.fspath(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}

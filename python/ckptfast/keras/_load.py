"""`ckptfast.keras.load_weights`."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from typing import Any

from .. import _names, _object_graph
from .._bundle import Reader, open_private, while_replaced
from .._checkpoint_reader import _reading
from .._names import By
from .._paths import AnyPath
from . import _optimizer, _view, _ways
from ._by_name import Rename
from ._report import WeightsReport, error_of
from ._structure import Structure
from ._view import Variable, View
from ._ways import Way


def load_weights(
    model: Any,
    path: AnyPath,
    *,
    strict: bool = True,
    by: By | None = None,
    root: str | None = None,
    names: Rename = None,
    optimizer: bool | None = None,
    verify: bool = True,
    copy: bool | None = None,
) -> WeightsReport:
    """Load a checkpoint in TensorFlow's format into a Keras model, and say what did not match.

    Keras 3 reads such checkpoints only through `tf.train.Checkpoint`, and only its own. This takes
    what `tf.train.Checkpoint(model=model)`, `tf.train.Checkpoint(model)`, `save_weights` of
    tf_keras (Keras 2), `tf.saved_model.save`, `model.export` and `tf.compat.v1.train.Saver` write.

    - `model`: a model or layer of Keras 3 or tf_keras. It must have been built: called on data, or
      `model.build(input_shape)`. On a backend other than TensorFlow (which the tests use), values
      are given to `variable.assign` as NumPy arrays.
    - `path`: a prefix, or anything else that `ckptfast.open` takes, such as a folder.
    - `strict`: whether a variable without a tensor, or with one of another shape or type, is an
      error. Otherwise what fits is loaded, and the report names the rest. Tensors that no variable
      takes are never an error. Types are never converted.
    - `by`: "object" matches by structure: functional and sequential models layer by layer (those
      that have weights, in order), everything else by the names of attributes. "name" matches
      the variables' paths with the full names of the checkpoint (`ckptfast.load(by="name")`), with
      or without the model's own name in front; if that does not find everything, with the numbers
      that Keras appends to names (`dense_7`) replaced by their order, provided that both sides
      have the same number of them. `None` tries structure first, then names, and takes the way that
      leaves the fewest variables out, for all of them.
    - `root`: the model's object in the checkpoint ("model", "gan/generator"). By default it is
      looked for at the root and directly below it.
    - `names`: a mapping or function from paths of variables (`keras.Variable.path`) to names or
      keys in the checkpoint. A variable it says nothing of (`None`) keeps its own.
    - `optimizer`: whether the state of `model.optimizer` is loaded, too (Keras 3 only). `None` does
      so if it is built and the checkpoint holds an optimizer. `True` builds it if need be. Slots
      are matched by their variables; those of tf_keras, older optimizers included, fit as well.
    - `verify`: compare all bytes with their checksums before the first assignment.
    - `copy`: as in `ckptfast.restore`: by default, variables of the TensorFlow backend are the
      pages of the file where they lie at multiples of 64 bytes, until they are first changed.

    Everything is checked before anything is assigned. States of random seeds are loaded if they are
    there; `tf.train.Checkpoint` leaves them out, so they are never missed.

    Raises `ckptfast.NotFoundError` with the nearest names where variables have no tensor,
    `ckptfast.keras.MismatchError` (a `ValueError`) where only shapes or types differ, `ValueError`
    where a model fits several objects, where structure and names contradict each other, and for a
    model that is not built; `ckptfast.DataLossError` for damaged files. With TensorFlow loaded,
    errors of the checkpoint are TensorFlow's as well.
    """
    view = View(model)

    def read() -> WeightsReport:
        begin = time.perf_counter()
        with open_private(path, verify=verify, copy=copy) as reader:
            way, structure = _ways.choose(
                reader, view, by=by, root=root, rename=names, strict=strict
            )
            variables = list(view.weights)
            if optimizer is not False:
                variables += _with_optimizer(view, structure, way, build=bool(optimizer))
            return _load(reader, view, way, variables, strict=strict, begin=begin)

    with _reading():
        return while_replaced(read)


def _with_optimizer(
    view: View, structure: Structure | None, way: Way, *, build: bool
) -> list[Variable]:
    """The optimizer's variables, if they are to be loaded; their keys are added to `way`."""
    optimizer = _optimizer.prepare(view, build=build)
    number = None
    if structure is not None:
        number = _optimizer.find(structure) if way.optimizer is None else way.optimizer
    if optimizer is None or structure is None or number is None:
        if build:
            raise ValueError("optimizer=True, and the checkpoint does not hold one optimizer")
        return []
    way.bound.update(_optimizer.bind(structure, number, optimizer, way.bound))
    return _optimizer.variables(optimizer)


def _load(
    reader: Reader,
    view: View,
    way: Way,
    variables: list[Variable],
    *,
    strict: bool,
    begin: float,
) -> WeightsReport:
    fitting, misfits = way.match(reader, variables)
    seeds, absent = way.match(reader, view.seeds)
    taken = {key for _, key in (*fitting, *seeds)}
    left = [key for key in reader if key not in taken and key != _object_graph.KEY]
    if strict and misfits:
        names = _names.of(reader, "name")
        raise error_of(
            reader.prefix,
            misfits,
            [names.label(key) for key in left],
            with_optimizer=len(variables) > len(view.weights),
        )
    nbytes = _assign(reader, [*fitting, *seeds])
    _view.finalize(view.model, {id(item.object) for item, _ in fitting})
    return WeightsReport(
        path=reader.prefix,
        matched_by=way.matched_by,
        loaded=_by_path([*fitting, *seeds]),
        missing=(*misfits.missing, *misfits.ambiguous),
        mismatched=tuple(misfits.mismatched),
        unexpected=tuple(left),
        kept=(*absent.missing, *absent.ambiguous, *(item.name for item in absent.mismatched)),
        unbuilt=view.unbuilt,
        nbytes=nbytes,
        seconds=time.perf_counter() - begin,
    )


def _by_path(pairs: Sequence[tuple[Variable, str]]) -> dict[str, str]:
    """The key of each path; where variables share one, they are counted."""
    found: dict[str, str] = {}
    for item, key in pairs:
        label, count = item.name, 1
        while label in found:
            count += 1
            label = f"{item.name} ({count})"
        found[label] = key
    return found


def _assign(reader: Reader, pairs: Sequence[tuple[Variable, str]]) -> int:
    """Assign every tensor to its variable, after all of them were read; the number of bytes."""
    if any(_is_tensorflow(item.object) for item, _ in pairs):
        tensorflow = importlib.import_module("..tf._keras_variables", __package__)
        assigned: int = tensorflow.assign(
            reader, [(item.object, item.name, key) for item, key in pairs]
        )
        return assigned
    arrays = reader._arrays(dict.fromkeys(key for _, key in pairs))
    for item, key in pairs:
        item.object.assign(arrays[key])
    return sum(arrays[key].nbytes for _, key in pairs)


def _is_tensorflow(item: Any) -> bool:
    """Whether the variable's value is TensorFlow's (of tf_keras, it is that itself)."""
    return type(getattr(item, "_value", item)).__module__.partition(".")[0] == "tensorflow"

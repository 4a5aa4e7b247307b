"""Values that a SavedModel's initialisation gives to variables, as far as no session is needed.

When a SavedModel is loaded, an operation of it runs after its variables were restored. TensorFlow
feeds it the paths of the assets where they are now. A variable that it assigns the path of an
asset, or a constant, has a value that the graph tells; all others would have to be computed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .. import _dtypes
from . import _constants, _protos, _prune, _savers, _wires
from ._source import Source

# Of the collections and the signature that name the operation (saved_model/constants.py).
_SIGNATURE: Final = "__saved_model_init_op"
_COLLECTIONS: Final = ("saved_model_main_op", "legacy_init_op")
_ASSETS: Final = "saved_model_assets"
_FOLDER: Final = "assets"


class Initial(NamedTuple):
    """A value, as a `TensorProto`.

    - `tensor`: `None` where only a session could tell the value.
    - `origin`: what it is: the path of an asset, or the name of a node.
    - `is_asset`: whether it is such a path, which beats the one in a checkpoint: the asset may have
      been elsewhere when that was saved.
    """

    tensor: Any
    origin: str
    is_asset: bool


def values(source: Source) -> dict[str, Initial]:
    """By the names of their nodes: the variables that the initialisation assigns."""
    nodes = {node.name: node for node in source.graph_def.node}
    operation = _operation(source)
    if operation is None or operation not in nodes:
        return {}
    assets = _assets(source)
    found: dict[str, Initial] = {}
    for name in sorted(_prune.reachable(nodes, [operation]) & nodes.keys()):
        node = nodes[name]
        if node.op in _savers.ASSIGNS and len(node.input) > 1:
            variable = _wires.node_of(node.input[0])
            # Which of two comes last is a session's affair.
            is_first = variable not in found
            value = _value(node.input[1], nodes, assets) if is_first else None
            found[variable] = value or Initial(None, name, is_asset=False)
    return found


def _operation(source: Source) -> str | None:
    """The operation that runs when the model is loaded."""
    if _SIGNATURE in source.signatures:
        return _wires.node_of(source.signatures[_SIGNATURE].outputs[_SIGNATURE].name)
    for key in _COLLECTIONS:
        if key in source.collections and source.collections[key].node_list.value:
            return _wires.node_of(source.collections[key].node_list.value[0])
    return None


def _assets(source: Source) -> dict[str, str]:
    """By the names of the tensors that are fed: the paths of the assets."""
    if source.folder is None:
        return {}
    assets = list(source.assets)
    if not assets and _ASSETS in source.collections:
        kind = _protos.message("AssetFileDef")
        packed = source.collections[_ASSETS].any_list.value
        assets = [kind.FromString(item.value) for item in packed]
    folder = os.path.join(os.path.abspath(source.folder), _FOLDER)
    return {asset.tensor_info.name: os.path.join(folder, asset.filename) for asset in assets}


def _value(text: str, nodes: Mapping[str, Any], assets: Mapping[str, str]) -> Initial | None:
    """What a tensor is, seen through what only hands it on."""
    for _ in nodes:
        tensor = f"{_wires.node_of(text)}:{_wires.index_of(text)}"
        if tensor in assets:
            return Initial(_text(assets[tensor]), assets[tensor], is_asset=True)
        node = nodes.get(_wires.node_of(text))
        if node is None or node.op not in ("Const", "Identity"):
            return None
        if node.op == "Const":
            return Initial(node.attr["value"].tensor, node.name, is_asset=False)
        text = node.input[0]
    return None


def _text(value: str) -> Any:
    import numpy

    tensor = _protos.message("TensorProto")()
    array = numpy.array(os.fsencode(value), dtype=object)
    _constants.fill(tensor, array, _dtypes.STRING)
    return tensor

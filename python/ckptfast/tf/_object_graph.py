"""Names of variables in an object-based checkpoint (`tf.train.Checkpoint`).

Such a checkpoint names a tensor by the path of attributes that led to its object when it was saved
("model/layer-1/kernel/.ATTRIBUTES/VARIABLE_VALUE"), and holds the graph of objects, a
`TrackableObjectGraph`, in a tensor of its own. There each variable's plain name stands beside its
key; through those a graph that knows names only can be restored.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2

from .._bundle import Reader
from ..errors import DataLossError, _located

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"


def keys_by_name(reader: Reader) -> dict[str, list[str]]:
    """The keys that the object graph gives for each plain name; none in a name-based checkpoint.

    Several, where objects of one name were saved: names are only unique within a graph.
    """
    if KEY not in reader:
        return {}
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        graph.ParseFromString(reader[KEY].item())
    except (DecodeError, TypeError, ValueError) as error:
        damaged = DataLossError(f"{reader.prefix}: the object graph cannot be parsed: {error}")
        _located(damaged, path=reader.prefix, key=KEY)
        raise damaged from error
    found: dict[str, list[str]] = {}
    for node in graph.nodes:
        for attribute in node.attributes:
            keys = found.setdefault(attribute.full_name, [])
            if attribute.checkpoint_key not in keys:
                keys.append(attribute.checkpoint_key)
    return found

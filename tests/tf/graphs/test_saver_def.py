"""What a SaverDef restores is read from its nodes, or left to them."""

from __future__ import annotations

from typing import Any

import pytest
from meta_graph_cases import graph_of


def stock_saver_def(tf: Any, graph: Any, **arguments: Any) -> Any:
    from tensorflow.python.training import saver as stock

    with graph.as_default():
        return stock.Saver(**arguments).saver_def


@pytest.mark.parametrize("sharded", [False, True])
def test_a_variable_of_a_saver_def_is_missed(tf: Any, sharded: bool) -> None:
    from ckptfast.tf.graphs import _saver_def
    from ckptfast.tf.saver import _wanted

    graph = graph_of(tf)
    definition = stock_saver_def(tf, graph, sharded=sharded)
    found = _saver_def.targets_of(graph, definition)
    assert found is not None
    with graph.as_default():
        wanted = _wanted.targets(tf.compat.v1.global_variables())
    key = [(part.name, part.box, part.dtype) for target in wanted for part in target.parts]
    assert [(t.parts[0].name, t.parts[0].box, t.parts[0].dtype) for t in found] == key
    assert [target.sink for target in found] == [target.sink for target in wanted]


def test_names_of_an_imported_scope_replace_those_in_the_checkpoint(tf: Any) -> None:
    from tensorflow.python.training import saver as stock

    from ckptfast.tf.graphs import _saver_def

    with graph_of(tf).as_default():
        message = stock.Saver().export_meta_graph()
    graph = tf.Graph()
    with graph.as_default():
        saver = stock.import_meta_graph(message, import_scope="other")
        found = _saver_def.targets_of(graph, saver.saver_def)
    assert found is not None
    assert ("a", "other/a") in {(t.parts[0].name, t.sink.op.name) for t in found}


@pytest.mark.parametrize(
    "arguments", [{"reshape": True}, {"write_version": 1}], ids=["reshape", "V1"]
)
def test_a_saver_that_does_more_is_taken_for_a_plain_one(
    tf: Any, arguments: dict[str, Any]
) -> None:
    from ckptfast.tf.graphs import _saver_def

    graph = graph_of(tf)
    assert _saver_def.targets_of(graph, stock_saver_def(tf, graph, **arguments)) is None


def test_a_hash_table_is_taken_for_a_variable(tf: Any) -> None:
    from ckptfast.tf.graphs import _saver_def

    graph = tf.Graph()
    with graph.as_default():
        table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        definition = stock_saver_def(tf, graph, var_list={"table": table})
    assert _saver_def.targets_of(graph, definition) is None
    definition.restore_op_name = "there_is_no_such_node"
    assert _saver_def.targets_of(graph, definition) is None

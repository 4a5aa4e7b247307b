"""`ckptfast.uninitialized`: which variables have no value."""

from __future__ import annotations

from types import ModuleType

import pytest
from restore_cases import graph_of, session, v1

import ckptfast

BOTH = pytest.mark.parametrize("resource", [True, False], ids=["resource", "reference"])


def build(resource: bool) -> None:
    for name in ("a", "b", "c"):
        v1().get_variable(name, [2], use_resource=resource)
    v1().get_variable(
        "local", [], use_resource=resource, collections=[v1().GraphKeys.LOCAL_VARIABLES]
    )


@BOTH
def test_all_are_named_at_once(tf: ModuleType, resource: bool) -> None:
    graph = graph_of(lambda: build(resource))
    sess = session(graph)
    assert ckptfast.uninitialized(sess) == ["a", "b", "c", "local"]
    with graph.as_default():
        variables = v1().global_variables()
        sess.run(variables[1].initializer)
    assert ckptfast.uninitialized(sess) == ["a", "c", "local"]
    assert ckptfast.uninitialized(sess, variables[:2]) == ["a"]
    assert ckptfast.uninitialized(sess, []) == []


@BOTH
def test_a_finalized_graph_can_be_asked(tf: ModuleType, resource: bool) -> None:
    graph = graph_of(lambda: build(resource))
    with graph.as_default():
        first = v1().global_variables()[0]
    graph.finalize()
    sess = session(graph)
    sess.run(first.initializer)
    assert ckptfast.uninitialized(sess) == ["b", "c", "local"]


@BOTH
def test_asking_again_adds_nothing_and_no_export_shows_it(tf: ModuleType, resource: bool) -> None:
    graph = graph_of(lambda: build(resource))
    before = str(graph.as_graph_def())
    sess = session(graph)
    ckptfast.uninitialized(sess)
    number = len(graph.get_operations())
    ckptfast.uninitialized(sess)
    assert len(graph.get_operations()) == number
    assert str(graph.as_graph_def()) == before


@BOTH
def test_a_graph_without_collections_names_every_variable(tf: ModuleType, resource: bool) -> None:
    definition = graph_of(lambda: build(resource)).as_graph_def()
    graph = graph_of(lambda: tf.import_graph_def(definition, name=""))
    sess = session(graph)
    sess.run("b/Assign")
    assert ckptfast.uninitialized(sess) == ["a", "c", "local"]


def test_what_is_no_session_is_refused(tf: ModuleType) -> None:
    with pytest.raises(TypeError):
        ckptfast.uninitialized(None)

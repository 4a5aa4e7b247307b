"""Errors whose class TensorFlow's users catch, and paths that only look wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def test_a_truncated_data_file_is_not_caught_as_out_of_range(
    Saver: Any, session: Any, here: Path, tf: ModuleType
) -> None:
    saver = Saver()
    saver.save(session, "./m", write_meta_graph=False)
    data = here / "m.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:3])
    with pytest.raises(tf.errors.OutOfRangeError) as caught:
        saver.restore(session, "./m")
    assert caught.value.error_code == tf.errors.OUT_OF_RANGE
    if Saver is not tf.compat.v1.train.Saver:
        import ckptfast

        again = pickle.loads(pickle.dumps(caught.value))
        for error in (caught.value, again):
            assert isinstance(error, ckptfast.DataLossError | tf.errors.OutOfRangeError)
            assert isinstance(error, tf.errors.DataLossError)
            assert type(error).__name__ == "DataLossError"
            assert error.path.endswith(data.name)


def test_damage_is_taken_for_a_short_file(
    FastSaver: Any, session: Any, here: Path, tf: ModuleType
) -> None:
    saver = FastSaver()
    saver.save(session, "./m", write_meta_graph=False)
    data = here / "m.data-00000-of-00001"
    data.write_bytes(b"\1" + data.read_bytes()[1:])
    with pytest.raises(tf.errors.DataLossError) as caught:
        saver.restore(session, "./m")
    assert not isinstance(caught.value, tf.errors.OutOfRangeError)


def test_an_index_that_is_a_folder_is_no_checkpoint(
    Saver: Any, session: Any, here: Path, tf: ModuleType
) -> None:
    (here / "m.index").mkdir()
    with pytest.raises(tf.errors.FailedPreconditionError, match=r"m\.index"):
        Saver().restore(session, "./m")


def test_a_name_that_is_too_long_is_an_unknown_error(
    Saver: Any, session: Any, here: Path, tf: ModuleType
) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="File name too long"):
        Saver().save(session, "./" + "x" * 300, write_meta_graph=False)


def test_a_new_folder_of_an_object_store_is_refused(
    Saver: Any, session: Any, tf: ModuleType, kind: str
) -> None:
    url = f"ram://{kind}-new-folder/run/7/m"
    saver = Saver()
    assert saver.save(session, url) == url
    assert tf.train.latest_checkpoint(f"ram://{kind}-new-folder/run/7") == url
    saver.restore(session, url)


def test_a_best_checkpoint_cannot_be_restored(
    FastSaver: Any, session: Any, here: Path, tf: ModuleType
) -> None:
    from ckptfast import BestCheckpoint

    saver = FastSaver()
    saver.save(session, "./m", write_meta_graph=False)
    (a,) = tf.compat.v1.global_variables()
    for path in (BestCheckpoint(str(here / "m"), 1, 0.5, "."), here / "m"):
        session.run(a.assign([0.0, 0.0]))
        saver.restore(session, path)
        assert session.run(a).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "limits",
    [{"max_to_keep": "5"}, {"max_to_keep": 2.5}, {"keep_checkpoint_every_n_hours": "1"}],
    ids=str,
)
def test_limits_of_a_wrong_type_fail_at_the_first_save(
    Saver: Any, session: Any, limits: dict[str, Any]
) -> None:
    with session.graph.as_default(), pytest.raises(TypeError):
        Saver(**limits)

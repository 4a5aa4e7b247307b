"""`load_tensors`: tensors on the devices where they are wanted."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from object_cases import run

import ckptfast


def test_all_values_come_as_tensors(tf: ModuleType, tmp_path: Path) -> None:
    from ckptfast.tf.objects import load_tensors

    values = {
        "a": np.arange(6, dtype="float32").reshape(2, 3),
        "b": np.array(3),
        "text": np.array([b"x\0", b""], object),
        "empty": np.zeros((0, 2), "int16"),
        "truth": np.array([True, False]),
    }
    path = ckptfast.save(tmp_path / "c", values)
    found = load_tensors(path)
    assert list(found) == sorted(values)
    for name, value in values.items():
        assert isinstance(found[name], tf.Tensor)
        assert found[name].numpy().tolist() == value.tolist()
    assert list(load_tensors(path, "t*")) == ["text", "truth"]
    with pytest.raises(tf.errors.NotFoundError):
        load_tensors(path, "nothing")


@pytest.mark.parametrize("align", [1, 64])
def test_an_aligned_file_is_not_copied_and_another_is_never_passed_on(
    tf: ModuleType, tmp_path: Path, align: int
) -> None:
    from ckptfast.tf.objects import load_tensors

    values = {"a": np.zeros(3, "uint8"), "b": np.arange(1 << 16, dtype="float32")}
    path = ckptfast.save(tmp_path / "c", values, align=align, shards=1)
    before = ckptfast.stats()
    found = load_tensors(path)
    aliased = ckptfast.stats().bytes_aliased - before.bytes_aliased
    assert (aliased >= 1 << 18) == (align == 64)
    for tensor in found.values():
        assert tensor._numpy().ctypes.data % 64 == 0
    assert tf.reduce_sum(found["b"]).numpy() == values["b"].sum()


def test_reads_run_ahead_within_their_bound(tf: ModuleType, tmp_path: Path) -> None:
    values = {f"v{number:02}": np.full(1000, number, "float64") for number in range(20)}
    path = ckptfast.save(tmp_path / "c", values)
    printed = run(
        """
        import sys
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(3)])
        from ckptfast.tf.objects import _source, load_tensors
        whole, batches = _source.Source.tensors, []
        def tensors(self, keys, types=None, indices=None):
            batches.append(8000 * len(keys))
            return whole(self, keys, types)
        _source.Source.tensors = tensors
        found = load_tensors(
            sys.argv[1],
            device=lambda name: f"/CPU:{int(name[1:]) % 3}",
            max_inflight_bytes=50_000,
        )
        for number, (name, tensor) in enumerate(found.items()):
            assert tensor.device.endswith(f"CPU:{number % 3}"), tensor.device
            assert set(tensor.numpy()) == {number}, name
        print(*batches)
        """,
        path,
    )
    host, *away = map(int, printed.split())
    assert host == 7 * 8000
    assert sum(away) == 13 * 8000
    assert all(first + second <= 50_000 for first, second in itertools.pairwise(away))


def test_large_tensors_are_read_while_others_wait(tf: ModuleType, tmp_path: Path) -> None:
    sizes = [400, 300, 30, 20, 280, 900, 100, 390, 390]
    values = {f"v{at}": np.full(size, at, "uint8") for at, size in enumerate(sizes)}
    path = ckptfast.save(tmp_path / "c", values)
    printed = run(
        """
        import gc, sys, weakref
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(2)])
        from ckptfast.tf.objects import _load_tensors, _source, load_tensors
        whole, read, placed, ahead = _source.Source.tensors, [], [], []
        identity = tf.identity
        def place(tensor):
            placed.append(tensor.shape[0])
            return identity(tensor)
        class Pool(_load_tensors.ThreadPoolExecutor):
            def submit(self, function, keys):
                ahead.append(len(placed) < len(read))
                return super().submit(function, keys)
        def tensors(self, keys, types=None, indices=None):
            there = [size for tensor, size in read if tensor() is not None]
            found = whole(self, keys, types)
            read.extend((weakref.ref(tensor), tensor.shape[0]) for tensor in found)
            if keys:
                print(sum(there), sum(tensor.shape[0] for tensor in found))
            return found
        _source.Source.tensors = tensors
        _load_tensors.ThreadPoolExecutor, tf.identity = Pool, place
        gc.disable()
        found = load_tensors(sys.argv[1], device="CPU:1", max_inflight_bytes=600)
        assert any(ahead), "nothing was read ahead"
        assert [(tensor.shape[0], tensor.numpy()[-1]) for tensor in found.values()] == [
            (int(size), at) for at, size in enumerate(sys.argv[2:])]
        """,
        path,
        *map(str, sizes),
    )
    reads = [tuple(map(int, line.split())) for line in printed.splitlines()]
    assert sum(new for _, new in reads) == sum(sizes)
    for there, new in reads:
        assert there + new <= 600 or (there, new) == (0, 900)


def test_a_folder_is_not_what_load_takes(tf: ModuleType, tmp_path: Path, real: Path) -> None:
    tf.train.Checkpoint(v=tf.Variable(1.0)).save(str(tmp_path / "c"))
    (model, *_) = sorted(real.rglob("variables/variables.index"))
    for path in (tmp_path, model.parent.parent):
        found, expected = ckptfast.load_tensors(path), ckptfast.load(path)
        assert list(found) == list(expected)
    with pytest.raises(tf.errors.NotFoundError, match="nowhere"):
        ckptfast.load_tensors(tmp_path / "nowhere")


@pytest.mark.gpu
def test_tensors_arrive_on_a_gpu(tf: ModuleType, tmp_path: Path) -> None:
    from ckptfast.tf.objects import load_tensors

    path = ckptfast.save(tmp_path / "c", {"a": np.arange(1000.0)})
    tensor = load_tensors(path, device="/GPU:0")["a"]
    assert tensor.device.endswith("GPU:0")
    assert tensor.numpy().tolist() == np.arange(1000.0).tolist()


def test_a_device_that_is_not_there_becomes_the_cpu(tf: ModuleType, tmp_path: Path) -> None:
    from ckptfast.tf.objects import load_tensors

    path = ckptfast.save(tmp_path / "c", {"a": np.zeros(3), "b": np.zeros(3)})
    for device in ("/CPU:77", lambda name: "/GPU:77" if name == "b" else None):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"there is no device '/.PU:77'"):
            load_tensors(path, device=device)
    for device in ("CPU", "/cpu:0", "/job:localhost/replica:0/task:0/device:CPU:0"):
        assert list(load_tensors(path, device=device)) == ["a", "b"]


def test_devices_are_names_only(tf: ModuleType, tmp_path: Path) -> None:
    path = ckptfast.save(tmp_path / "c", {"a": np.zeros(3)})
    cpu = tf.config.list_logical_devices("CPU")[0]
    for device in (cpu, tf.DeviceSpec(device_type="CPU"), lambda _: cpu, None):
        assert list(ckptfast.load_tensors(path, device=device)) == ["a"]
    for device in (0, lambda _: b"CPU:0"):
        with pytest.raises(TypeError, match="device is a name, None or a function"):
            ckptfast.load_tensors(path, device=device)
    with pytest.raises(TypeError, match="max_inflight_bytes is a whole number"):
        ckptfast.load_tensors(path, max_inflight_bytes="1")

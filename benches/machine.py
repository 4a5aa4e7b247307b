"""The machine: what it is, and getting its memory ready for measurements."""

from __future__ import annotations

import datetime
import importlib.metadata
import mmap
import os
import platform
from pathlib import Path

import numpy as np

GIB = 1 << 30
SHARE_TO_TOUCH = 0.7
"""Share of the available memory that is touched; more would risk running out of it."""


def cpus() -> int:
    """Number of CPUs this process may use."""
    return len(os.sched_getaffinity(0))


def describe(directory: Path) -> dict[str, str]:
    """What a reader has to know about the machine to judge the numbers."""
    kind, free = filesystem(directory), os.statvfs(directory)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "CPU": f"{cpu_model()}, {cpus()} CPUs usable",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GIB:.0f} GiB",
        "system": f"Linux {platform.release()}, Python {platform.python_version()}",
        "file system of the data": f"{kind}, {free.f_bavail * free.f_frsize / GIB:.0f} GiB free",
        "packages": ", ".join(
            f"{name} {version(name) or 'missing'}"
            for name in ("ckptfast", "tensorflow", "numpy", "safetensors")
        ),
    }


def cpu_model() -> str:
    """The CPU's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def version(package: str) -> str | None:
    """Version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def filesystem(directory: Path) -> str:
    """Type of the file system that holds a directory, such as ``ext4``."""
    path, found, depth = directory.resolve(), "unknown", -1
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        mount = Path(before.split()[4].encode().decode("unicode_escape"))
        if path.is_relative_to(mount) and len(mount.parts) >= depth:
            found, depth = after.split()[0], len(mount.parts)
    return found


def available_memory() -> int:
    """Bytes that can be allocated without swapping, within the limit of the control group."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
            break
    else:
        raise OSError("/proc/meminfo has no MemAvailable")
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except OSError:
        return available  # the root group, or no control groups of version 2
    return available if limit == "max" else max(0, min(available, int(limit) - used))


def warm_memory() -> int:
    """Touches most of the free memory once and gives it back; returns the number of bytes.

    On a virtual machine the first touch of memory that the host has not backed yet takes seconds
    per GiB.  Without this, that cost would hit whoever happens to be measured first.
    """
    return touch_memory(int(available_memory() * SHARE_TO_TOUCH))


def touch_memory(total: int) -> int:
    """Touches `total` bytes, in whole GiB, and gives them back: the host has backed them then."""
    held: list[mmap.mmap] = []
    for _ in range(total // GIB):
        region = mmap.mmap(-1, GIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        region.madvise(mmap.MADV_HUGEPAGE)
        np.frombuffer(region, dtype=np.uint8)[:: mmap.PAGESIZE] = 1
        held.append(region)
    touched = len(held) * GIB
    while held:
        held.pop().close()
    return touched

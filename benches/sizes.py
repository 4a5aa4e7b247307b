"""How large the benchmarked checkpoints are, and how often each thing is repeated."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20


@dataclass(frozen=True)
class Shape:
    """A checkpoint of `count` float32 tensors of `elements` elements each."""

    count: int
    elements: int

    @property
    def nbytes(self) -> int:
        return self.count * self.elements * 4


@dataclass(frozen=True)
class Size:
    """One setting of ``--size``."""

    name: str
    large: Shape
    """"L": few tensors, each as large as an embedding."""
    medium: Shape
    """"M": tensors as large as the kernels of a vision model."""
    small: Shape
    """"S": so many small tensors that the cost of each one is what counts."""
    keys: int
    """Number of keys of the index that is only listed."""
    repeats: int
    """Timed rounds of a comparison, after one round that is checked in full and not timed."""
    cold_repeats: int
    """The same, where every round reads from the disk."""
    fresh_bytes: int
    """Memory to touch and give back before every timed run: see `measure.interleave`."""
    judged: bool
    """Whether the sizes say anything about the targets."""
    warm_memory: bool
    """Touch most of the machine's memory before the first measurement."""
    memory_beside_tensorflow: bool
    """Measure TensorFlow's own peak memory too (one more process per scenario)."""
    memory_scenarios: tuple[str, ...]
    """Which of the memory scenarios run; each starts processes that import TensorFlow."""


FULL = Size(
    name="full",
    large=Shape(8, 32 * MIB),
    medium=Shape(400, 625_000),
    small=Shape(10_000, 256),
    keys=15_000,
    repeats=7,
    cold_repeats=5,
    fresh_bytes=2 << 30,
    judged=True,
    warm_memory=True,
    memory_beside_tensorflow=True,
    memory_scenarios=(
        "aligned",
        "misaligned",
        "reference",
        "save",
        "objects-aligned",
        "objects-packed",
        "objects-write",
    ),
)

SMOKE = Size(
    name="smoke",
    large=Shape(8, 256 * KIB),
    medium=Shape(20, 25_000),
    small=Shape(200, 256),
    keys=500,
    repeats=2,
    cold_repeats=1,
    fresh_bytes=0,
    judged=False,
    warm_memory=False,
    memory_beside_tensorflow=False,
    memory_scenarios=("misaligned", "save", "objects-packed"),
)

SIZES = {size.name: size for size in (FULL, SMOKE)}

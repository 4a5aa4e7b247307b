"""What every scenario gets: the sizes, a place for files, and where the results go."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benches.results import Results
from benches.sizes import Size


@dataclass
class Bench:
    """One run of the benchmarks."""

    size: Size
    directory: Path
    results: Results = field(default_factory=Results)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory that is gone afterwards, so that scenarios never share disk or cache."""
        path = Path(tempfile.mkdtemp(prefix="ckptfast-bench-", dir=self.directory))
        try:
            yield path
        finally:
            shutil.rmtree(path)

"""What several tests of restoring take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from restore_cases import write
from restore_models import STORED


@pytest.fixture(params=["resource", "reference", "eager"])
def kind(request: pytest.FixtureRequest, tf: ModuleType) -> Iterator[str]:
    """Of which kind the variables of a `Model` are."""
    yield request.param


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The prefix of a checkpoint of `STORED`."""
    return write(tmp_path / "model", STORED)

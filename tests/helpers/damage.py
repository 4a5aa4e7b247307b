"""Running `sweep.py`, and what it must find."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

SWEEP = Path(__file__).parent / "sweep.py"


def sweep(
    path: Path | str,
    load: str,
    kinds: Sequence[str] = ("flips", "cuts", "drops", "inserts"),
    *,
    forms: Iterable[bytes] = (),
    verify: bool = True,
    allowed: Sequence[str] = (),
) -> Any:
    """Damage `path` in every way and load `load` after each; see `sweep.py` for what comes back.

    Fails on anything but an error that says what is wrong, or the same values.
    """
    task = {
        "path": str(path),
        "load": load,
        "kinds": list(kinds),
        "forms": [form.hex() for form in forms],
        "verify": verify,
        "allowed": list(allowed),
    }
    result = subprocess.run(
        [sys.executable, SWEEP], input=json.dumps(task), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "panic" not in result.stderr
    report = json.loads(result.stdout)
    assert report["wrong"] == [], report["wrong"][:5]
    return report

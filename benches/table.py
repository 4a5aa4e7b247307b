"""Prints results as text, as Markdown or as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from benches.measure import Measure
from benches.results import Results, Row

Cells = tuple[str, ...]

ROW_HEAD: Cells = (
    "what",
    "TensorFlow (min)",
    "ckptfast (min)",
    "ckptfast, GB/s",
    "ratio",
    "target",
    "met",
    "ceiling beside it",
)
CEILING_HEAD: Cells = ("raw speed of this machine", "GB/s, median", "best")
OTHER_HEAD: Cells = ("what", "how", "median (min)", "GB/s")


def text(machine: dict[str, str], results: Results) -> str:
    """The report for a terminal."""
    parts = ["\n".join(f"{key}: {value}" for key, value in machine.items())]
    parts += [_columns(head, body) for head, body in _tables(results)]
    parts += [f"note: {note}" for note in results.notes]
    parts += [f"FAILED: {failure}" for failure in results.failures]
    return "\n\n".join(parts) + "\n"


def markdown(machine: dict[str, str], results: Results) -> str:
    """The report as Markdown, to be pasted into ``docs/benchmarks.md``."""
    parts = ["\n".join(f"- {key}: {value}" for key, value in machine.items())]
    for head, body in _tables(results):
        parts.append(
            "\n".join(_markdown_line(cells) for cells in (head, ("---",) * len(head), *body))
        )
    parts += [f"Note: {note}" for note in results.notes]
    parts += [f"**Failed**: {failure}" for failure in results.failures]
    return "\n\n".join(parts) + "\n"


def as_json(machine: dict[str, str], results: Results) -> str:
    """Everything, with every single value that was measured."""
    document = {"machine": machine, **dataclasses.asdict(results)}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _tables(results: Results) -> list[tuple[Cells, list[Cells]]]:
    rows: list[Cells] = [_row(row, results.judged) for row in results.rows]
    ceilings: list[Cells] = [
        (ceiling.name, f"{ceiling.speed.median:.2f}", f"{ceiling.speed.best:.2f}")
        for ceiling in results.ceilings.values()
    ]
    others: list[Cells] = [
        (
            other.task,
            other.name,
            _measure(other.seconds),
            f"{other.seconds.per_second(other.nbytes).median:.2f}" if other.nbytes else "",
        )
        for other in results.others
    ]
    tables: list[tuple[Cells, list[Cells]]] = [
        (ROW_HEAD, rows),
        (CEILING_HEAD, ceilings),
        (OTHER_HEAD, others),
    ]
    return [(head, body) for head, body in tables if body]


def _row(row: Row, judged: bool) -> Cells:
    speed = f"{row.ckptfast.per_second(row.nbytes).median:.1f}" if row.nbytes else ""
    met = {None: "", True: "met", False: "NOT MET"}[row.met if judged else None]
    return (
        row.name,
        "" if row.tensorflow is None else _measure(row.tensorflow),
        _measure(row.ckptfast),
        speed,
        "" if row.ratio is None else f"{row.ratio:.{1 if row.ratio < 100 else 0}f}×",
        row.target,
        met,
        row.beside,
    )


def _measure(measure: Measure) -> str:
    """The median and, in brackets, the best value: ``213 ms (201)``."""
    if len(measure.values) == 1 and measure.unit == "MiB":
        return f"{measure.median:.1f} MiB"
    if measure.unit != "s":
        return f"{measure.median:.1f} {measure.unit} ({measure.best:.1f})"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if measure.median * factor >= 1 or unit == "µs":
            digits = 2 if measure.median * factor < 10 else 0 if unit != "s" else 1
            median, best = measure.median * factor, measure.best * factor
            return f"{median:.{digits}f} {unit} ({best:.{digits}f})"
    raise AssertionError("the last unit always fits")


def _markdown_line(cells: Cells) -> str:
    return f"| {' | '.join(cells)} |"


def _columns(head: Cells, body: Sequence[Cells]) -> str:
    """A table with aligned columns."""
    rule = tuple("-" * len(title) for title in head)
    lines = [head, rule, *body]
    widths = [max(len(cells[index]) for cells in lines) for index in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in lines
    )

"""Assigning a plan's values to the variables of a local session.

A resource variable keeps the memory it is given, and copies it when it is first changed; so one run
takes all of them, whatever their size. Other values are copied by TensorFlow while the operation
runs. Of those that are not pages of the file already, no more than `IN_FLIGHT` bytes are read at a
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .._bundle import Reader
from . import _session, _sites, _values
from ._plan import Match
from ._sites import Site
from ._values import Value

IN_FLIGHT = 240 << 20
"""Bytes that are in memory only until TensorFlow has copied them."""
_MESSAGE = (2 << 30) - (1 << 20)
"""Bytes that fit a message to a remote session (protobuf's limit, less room for the rest of it)."""
_GROUP = 32 << 20
"""Bytes that are read at once while filling `IN_FLIGHT`: enough to keep every core busy."""


class _Job(NamedTuple):
    match: Match
    site: Site
    nbytes: int


def assign(
    session: Any,
    reader: Reader,
    matches: Sequence[Match],
    *,
    verify: bool,
    local: bool = True,
    reshape: bool = False,
) -> int:
    """Assign every match; returns the number of bytes.

    With `reshape`, tensors of as many elements as their variable get its shape, which is known.

    Every assignment that is needed is found, and with `verify` every byte is checked, before the
    first one runs. To a session that is not `local` the values travel as messages.
    """
    sites = _sites.find(session.graph, [match.target for match in matches])
    kept: list[_Job] = []
    copied: list[_Job] = []
    for match, site in zip(matches, sites, strict=True):
        if local and site.keeps:
            kept.append(_Job(match, site, 0))  # however large
        else:
            size = sum(_values.nbytes(reader, source) for source in match.sources)
            copied.append(_Job(match, site, size))
    if not local:
        _check_sizes(copied)
    if sum(job.nbytes for job in copied) <= IN_FLIGHT:
        kept, copied = kept + copied, []
    elif verify:
        _values.verify(reader, [source for job in copied for source in job.match.sources])
    total = _run(session, kept, _read(reader, kept, verify=verify), reshape=reshape)
    for batch, values in _batches(reader, copied):
        total += _run(session, batch, values, reshape=reshape)
        del values  # before the next ones are read
    return total


def _check_sizes(jobs: Iterable[_Job]) -> None:
    for job in jobs:
        if job.nbytes > _MESSAGE:
            raise RuntimeError(
                f"{job.match.target.parts[0].name} has {job.nbytes} bytes, too many to send to a "
                "remote session in one message: restore once before graph.finalize(), so that "
                "TensorFlow's own operations can be added"
            )


def _read(reader: Reader, jobs: Iterable[_Job], *, verify: bool) -> list[Value]:
    """The values of all parts of all jobs, in order."""
    return _values.read(
        reader, [source for job in jobs for source in job.match.sources], verify=verify
    )


def _batches(reader: Reader, jobs: Sequence[_Job]) -> Iterator[tuple[list[_Job], list[Value]]]:
    """The jobs with their values, by portions that stay within `IN_FLIGHT` bytes of copies.

    One value that is larger makes a portion of its own.
    """
    # In the order of the file, for a disk reads ahead.
    order = sorted(jobs, key=lambda job: reader._index(job.match.sources[0].key))
    batch: list[_Job] = []
    values: list[Value] = []
    copied = 0
    for group in _groups(order):
        # The sizes are an upper limit: what is aligned is not copied.
        if batch and copied + sum(job.nbytes for job in group) > IN_FLIGHT:
            yield batch, values
            batch, values, copied = [], [], 0
        read = _read(reader, group, verify=False)
        batch += group
        values += read
        copied += sum(value.copied for value in read)
        del read
    if batch:
        yield batch, values


def _groups(jobs: Iterable[_Job]) -> Iterator[list[_Job]]:
    group: list[_Job] = []
    nbytes = 0
    for job in jobs:
        if group and nbytes + job.nbytes > _GROUP:
            yield group
            group, nbytes = [], 0
        group.append(job)
        nbytes += job.nbytes
    if group:
        yield group


def _run(
    session: Any, jobs: Sequence[_Job], values: Sequence[Value], *, reshape: bool = False
) -> int:
    """Run the assignments, those that share a tensor to feed one after the other."""
    rounds: list[tuple[list[Any], list[_session.Feed]]] = []
    used: dict[int, int] = {}
    arrays = iter(values)
    total = 0
    for job in jobs:
        number = max([used.get(id(tensor), 0) for tensor in job.site.values])
        if number == len(rounds):
            rounds.append(([], []))
        ops, feeds = rounds[number]
        ops.append(job.site.op)
        for part, tensor in zip(job.match.target.parts, job.site.values, strict=True):
            value = next(arrays)
            total += value.nbytes
            used[id(tensor)] = number + 1
            array = _session.feedable(part.dtype, value.array)
            feeds.append((tensor, array.reshape(part.shape) if reshape else array))
    for ops, feeds in rounds:
        _session.run(session, ops, feeds)
    return total

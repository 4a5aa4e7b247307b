"""Two runs of a session at a time.

TensorFlow turns what is fed into tensors with Python's lock, and lets go of it while operations
run. One after the other, half of the time nothing runs; two threads take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def for_each(items: Iterator[Item], run: Callable[[Item], None]) -> None:
    """Call `run` with every item, here and in a second thread; raises what it raises.

    Both take from `items`, which is no generator: those end when two threads ask at once. After an
    error, or Ctrl-C, no further item is begun, and nothing runs when this returns.
    """

    def work() -> None:
        try:
            for item in items:
                run(item)
        except BaseException:
            for _ in items:  # the other thread finds none then
                pass
            raise

    with ThreadPoolExecutor(1, thread_name_prefix="ckptfast-restore") as pool:
        second = _submit(pool, work)
        work()
    if second is not None:
        second.result()


def _submit(pool: ThreadPoolExecutor, work: Callable[[], None]) -> Future[None] | None:
    try:
        return pool.submit(work)
    except RuntimeError:  # the interpreter is about to exit, and starts no more threads
        return None

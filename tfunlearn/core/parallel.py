"""Calls side by side in threads, with results in the order of the inputs."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; respects taskset and container limits
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    at_once: int,
    pool: ThreadPoolExecutor | None = None,
) -> Iterator[Result]:
    """Yield `function(item)` for every item, in order.

    At most `at_once` calls run at the same time, and fewer than twice as many results wait, so that
    memory does not grow with the number of items. An error, also a KeyboardInterrupt, ends the
    iteration; calls that have begun are waited for, the others do not begin.

    Args:
        function: called in threads; must release the GIL to gain from it.
        items: the inputs, read as they are needed.
        at_once: number of calls at the same time, >= 1; with 1 they run in this thread.
        pool: a pool of `at_once` threads that stay for the next time; default a new one.
    """
    if at_once == 1:
        yield from map(function, items)
        return
    if pool is None:
        with threads(at_once) as pool:
            yield from in_order(function, items, at_once=at_once, pool=pool)
        return
    pending: collections.deque[Future[Result]] = collections.deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) == 2 * at_once:
                yield pending[0].result()
                pending.popleft()
        while pending:
            yield pending[0].result()
            pending.popleft()
    finally:
        wait([one for one in pending if not one.cancel()])


def threads(count: int) -> ThreadPoolExecutor:
    """Return a pool of `count` threads; they end with the program or when nobody holds the pool."""
    return ThreadPoolExecutor(count, thread_name_prefix="tfunlearn")

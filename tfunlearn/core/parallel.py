"""Calls side by side in threads, with results in the order of the inputs."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; respects taskset and container limits
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, at_once: int
) -> Iterator[Result]:
    """Yield `function(item)` for every item, in order.

    At most `at_once` calls run at the same time, and fewer than twice as many results wait, so that
    memory does not grow with the number of items. An error, also a KeyboardInterrupt, ends the
    iteration; calls that have begun are waited for, the others do not begin.

    Args:
        function: called in threads; must release the GIL to gain from it.
        items: the inputs, read as they are needed.
        at_once: number of threads, >= 1; with 1 the calls run in this thread.
    """
    if at_once == 1:
        yield from map(function, items)
        return
    waiting: collections.deque[Future[Result]] = collections.deque()
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="tfunlearn")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == 2 * at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)

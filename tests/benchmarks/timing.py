"""What the benchmarks measure with: seconds and the peak of memory of this process."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable


def seconds(work: Callable, repeats: int, *, warm: bool = False) -> float:
    """Returns the median time of some calls, after one that does not count if `warm`."""
    if warm:
        work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def peak() -> int:
    """Returns the most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

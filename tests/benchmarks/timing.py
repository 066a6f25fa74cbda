"""What the benchmarks measure with: seconds and the peak of memory of this process."""

from __future__ import annotations

import contextlib
import pathlib
import platform
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


def wall_and_cpu(work: Callable) -> tuple[float, float]:
    """Returns the wall and the CPU seconds of one call, the latter of all threads."""
    started, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - busy


def processor() -> str:
    """Returns the processor's name, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak() -> int:
    """Returns the most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

"""What the benchmarks measure with: seconds, memory, and the processes that take them."""

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


def with_descendants(process: int) -> dict[int, list[str]]:
    """Returns process id -> fields of /proc/PID/stat, from the third (state) on, of a process and
    of its living descendants. Linux only."""
    children: dict[int, list[int]] = {}
    found: dict[int, list[str]] = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            number, fields = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(number)
            found[number] = fields
    family, left = {}, [process]
    while left:
        number = left.pop()
        family |= {number: found[number]} if number in found else {}
        left += children.get(number, [])
    return family


def peak() -> int:
    """Returns the most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

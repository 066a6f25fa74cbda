"""Settings of TensorFlow that determine the bits of a round, made before it starts.

One thread inside an operation and several clients side by side: how an operation splits a sum over
threads changes its bits, so that they would otherwise depend on the number of cores. What a user
has set in the environment stays.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from tfunlearn.core.errors import UserError
from tfunlearn.core.lazy import ONEDNN, prefer_onednn, tf
from tfunlearn.core.parallel import cores

THREADS = "TF_NUM_INTRAOP_THREADS"
MOST_THREADS = 1024
OURS = "TFUNLEARN_SET_THREADS"  # the value of THREADS that `prepare` has set, for child processes


def prepare(threads: int = 1) -> None:
    """Set oneDNN's kernels and the number of threads inside an operation; let GPU memory grow.

    Nothing is imported: where TensorFlow is not loaded yet, it reads the environment when it is.
    Warns if it has already started with another number of threads.

    Args:
        threads: threads inside an operation; TF_NUM_INTRAOP_THREADS wins if the user has set it.

    Raises:
        UserError: the user has set that variable to no number of threads.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    prefer_onednn()
    told = os.environ.get(THREADS, "")
    if told and told != os.environ.get(OURS):
        if not (told.isdecimal() and 1 <= int(told) <= MOST_THREADS):
            raise UserError(
                f"{THREADS}: must be a whole number from 1 to {MOST_THREADS}; got {told!r}; set it "
                "to one, or remove it from the environment"
            )
        if threads not in (1, int(told)):
            warnings.warn(
                f"{THREADS}={told} in the environment wins over {threads} threads per client",
                stacklevel=2,
            )
        return
    if "tensorflow" not in sys.modules:
        os.environ[OURS] = os.environ[THREADS] = str(threads)
    elif threads_inside() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:  # TensorFlow has started
            warnings.warn(
                f"TensorFlow had already started, with {threads_inside()} threads inside an "
                f"operation instead of {threads}: bits depend on that number; call "
                "tfunlearn.core.compute.prepare() first, or set TF_NUM_INTRAOP_THREADS",
                stacklevel=2,
            )


def threads_inside() -> int:
    """Return the number of threads inside an operation."""
    configured = tf.config.threading.get_intra_op_parallelism_threads()
    told = os.environ.get(THREADS, "")
    return configured or (int(told) if told.isdigit() and int(told) else cores())


def calls_at_once() -> int:
    """Return how many calls to run side by side, so that they fill the cores; 1 on a GPU."""
    if tf.config.list_physical_devices("GPU"):
        return 1
    return max(1, cores() // threads_inside())


def uses_onednn() -> bool | None:
    """Return whether TensorFlow computes with oneDNN's kernels; None if it does not tell."""
    try:
        port = importlib.import_module("tensorflow.python.util._pywrap_util_port")
        return bool(port.IsMklEnabled())
    except (ImportError, AttributeError):  # not public
        return None


def settings() -> dict[str, Any]:
    """Return the settings of this process, as a run records them."""
    return {"onednn": uses_onednn(), "threads_per_client": threads_inside()}


def environment() -> dict[str, str]:
    """Return the variables that give a worker process the settings of this one."""
    if "tensorflow" not in sys.modules:
        return {THREADS: os.environ.get(THREADS, "1"), ONEDNN: os.environ.get(ONEDNN, "1")}
    kernels = {True: "1", False: "0", None: os.environ.get(ONEDNN, "1")}[uses_onednn()]
    return {THREADS: str(threads_inside()), ONEDNN: kernels}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in words what differs between recorded settings and those of now."""
    return [
        f"{name} {now[name]} instead of {then[name]}"
        for name in now
        if name in then and then[name] != now[name]
    ]

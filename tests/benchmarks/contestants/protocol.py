"""What a contestant of `compare_engines.py` is: a process that runs one round for each line it reads."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

EXAMPLES, EPOCHS, BATCH, RATE = 100, 2, 32, 1e-3


def serve(run_round: Callable[[], object]) -> None:
    """Say that everything is ready, then run a round per line of stdin, and say when it is done."""
    answer = sys.stdout
    print("ready", file=answer, flush=True)
    for _ in sys.stdin:
        run_round()
        print("done", file=answer, flush=True)


def examples(clients: int, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return random images `(clients * 100, ...)` uint8 and labels of 10 classes."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (clients * EXAMPLES, *shape), dtype=np.uint8)
    return images, rng.integers(0, 10, clients * EXAMPLES).astype(np.int32)

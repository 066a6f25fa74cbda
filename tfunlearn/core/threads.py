"""Thread limit for the BLAS library used by NumPy."""

from __future__ import annotations

import contextlib
import functools


def one_blas_thread() -> contextlib.AbstractContextManager:
    """Limit NumPy's matrix products to one thread inside a `with` block.

    For products of at most a millisecond: a second thread saves no time there, but spins for
    milliseconds afterwards, which doubles the processor time.
    """
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller():
    import numpy  # noqa: F401  (threadpoolctl finds only loaded libraries)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

"""How many threads the linear algebra behind NumPy uses."""

from __future__ import annotations

import contextlib
import functools


def one_blas_thread() -> contextlib.AbstractContextManager:
    """Holds NumPy's matrix products to one thread while a `with` block lasts.

    For products of a millisecond or less: a second thread saves nothing there, but spins for
    milliseconds afterwards, which doubles the processor time.
    """
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller():
    import numpy  # noqa: F401  (its library must be loaded to be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

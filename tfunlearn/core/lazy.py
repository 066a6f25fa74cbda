"""Heavy libraries, imported on first use so that `import tfunlearn` takes under half a second."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tfunlearn.core.errors import UserError
from tfunlearn.core.plotting import import_matplotlib

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
INSTALL = {
    "tensorflow": "pip install tensorflow",
    "tensorflow_federated": "pip install 'tfunlearn[federated]' (Python 3.11, Linux, x86-64), "
    "then pip install --no-deps tensorflow-federated==0.87.0",
}


class _LazyModule(types.ModuleType):
    """Placeholder for a module that imports it on first attribute access."""

    def __getattr__(self, name: str):
        with warnings.catch_warnings():  # TFF's dependencies warn about their own dependencies
            warnings.simplefilter("ignore")
            module = _import(self.__name__)
        value = getattr(module, name)
        setattr(self, name, value)
        return value


def require_installed(name: str) -> None:
    """Raise a `UserError` with the install command unless a library is installed."""
    if importlib.util.find_spec(name) is None:
        raise UserError(f"{name.replace('_', '-')} is not installed; run: {INSTALL[name]}")


def prefer_onednn() -> None:
    """Turn oneDNN's kernels on where TensorFlow is not loaded yet and the user has not decided."""
    if "tensorflow" not in sys.modules:  # off by default on processors without AVX512-VNNI
        os.environ.setdefault(ONEDNN, "1")


def _import(name: str):
    require_installed(name)
    prefer_onednn()
    if os.environ.get("MPLBACKEND"):  # Keras 3 imports matplotlib
        import_matplotlib()
    with _stderr_held_back():
        return importlib.import_module(name)


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Suppress native stderr output (TensorFlow's startup messages) unless the block raises."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_federated as tff
else:
    tf = _LazyModule("tensorflow")
    tff = _LazyModule("tensorflow_federated")

__all__ = ["prefer_onednn", "require_installed", "tf", "tff"]

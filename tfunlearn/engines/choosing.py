"""The choice of an engine by name."""

from __future__ import annotations

import contextlib
import contextvars
import importlib.metadata
import platform
import sys
from collections.abc import Iterator

from tfunlearn.core.errors import UserError, choose
from tfunlearn.core.lazy import INSTALL
from tfunlearn.engines.engine import Engine

_override: contextvars.ContextVar[str | None] = contextvars.ContextVar("engine", default=None)
ENGINES = {
    "auto": "tff where it is installed, otherwise tensorflow",
    "tff": "TensorFlow Federated 0.87",
    "tensorflow": "TensorFlow alone",
}


def choose_engine(name: str = "auto", *, clients_at_once: int | None = None) -> Engine:
    """Return an engine.

    Args:
        name: `"tff"`, `"tensorflow"`, or `"auto"` (default): TFF where it is installed.
        clients_at_once: see `TensorFlowEngine`; the tff engine takes None only, since its worker
            program runs one client per core; with "auto" a number chooses tensorflow.

    Raises:
        UserError: there is no such engine, it is not installed, or it does not take the setting.
    """
    choose("engine", name, ENGINES)
    if name == "tff" or (name == "auto" and clients_at_once is None and tff_is_usable()):
        require_tff("engine: tff", ", or give --engine tensorflow")
        if clients_at_once is not None:
            raise UserError(
                f"clients_at_once: not allowed with the engine tff; got {clients_at_once}; its "
                "worker runs one client per core; give --engine tensorflow"
            )
        from tfunlearn.engines.tff import TFFEngine

        return TFFEngine()
    from tfunlearn.engines.tensorflow import TensorFlowEngine

    return TensorFlowEngine(clients_at_once)


@contextlib.contextmanager
def using_engine(name: str | None) -> Iterator[None]:
    """Take an engine for all runs inside the block, whatever their configurations name.

    Args:
        name: a name of `ENGINES`; None changes nothing.

    Raises:
        UserError: there is no such engine, or it is not installed.
    """
    if name is None:
        yield
        return
    choose_engine(name)
    token = _override.set(name)
    try:
        yield
    finally:
        _override.reset(token)


def overriding_engine() -> str | None:
    """Return the name given to `using_engine`, or None outside of it."""
    return _override.get()


def tff_is_usable() -> bool:
    """Return whether TFF 0.87 is installed beside the TensorFlow that it needs, 2.14."""
    return _tff_release() == (0, 87) and _release("tensorflow") in ((), (2, 14))


def _tff_release() -> tuple[int, ...]:
    return _release("tensorflow-federated")


def _release(package: str) -> tuple[int, ...]:
    """Return major and minor number of an installed package, empty if there is none."""
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def require_tff(what: str, instead: str = "") -> None:
    """Raise a `UserError` unless the tff engine can be used.

    Args:
        what: field and value that need it, for the message.
        instead: what else to do, for the message; default nothing.
    """
    if tff_is_usable():
        return
    if sys.version_info[:2] != (3, 11) or (platform.system(), platform.machine()) != (
        "Linux",
        "x86_64",
    ):
        raise UserError(
            f"{what} needs TensorFlow Federated 0.87, which is for Python 3.11 on Linux, x86-64, "
            f"only; this is Python {platform.python_version()} on {platform.system()}, "
            f"{platform.machine()}; use that{instead}"
        )
    release = ".".join(map(str, _tff_release()))
    if release == "0.87":
        beside = ".".join(map(str, _release("tensorflow")))
        found = f"which needs TensorFlow 2.14; found is {beside}"
    else:
        found = f"found is release {release}" if release else "not found"
    command = INSTALL["tensorflow_federated"]
    raise UserError(
        f"{what} needs TensorFlow Federated 0.87, {found}; install it ({command}){instead}"
    )

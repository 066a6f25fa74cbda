"""Heavy libraries, imported at first use so that `import tfunlearn` stays under half a second."""

from __future__ import annotations

import importlib
import types
import warnings

from tfunlearn.core.errors import UserError

_INSTALL = {
    "tensorflow": "pip install tensorflow==2.14.1",
    "tensorflow_federated": "pip install --no-deps tensorflow-federated==0.87.0",
}


class _LazyModule(types.ModuleType):
    """Stands in for a module and imports it when an attribute is first asked for."""

    def __getattr__(self, name: str):
        with warnings.catch_warnings():  # TFF's companions warn about their own dependencies
            warnings.simplefilter("ignore")
            module = _import(self.__name__)
        value = getattr(module, name)
        setattr(self, name, value)
        return value


def _import(name: str):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        command = _INSTALL[name]
        raise UserError(f"{name.replace('_', '-')} is not installed; run: {command}")


tf = _LazyModule("tensorflow")
tff = _LazyModule("tensorflow_federated")

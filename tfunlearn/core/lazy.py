"""Heavy libraries, imported at first use so that `import tfunlearn` stays under half a second."""

from __future__ import annotations

import importlib
import types
import warnings


class _LazyModule(types.ModuleType):
    """Stands in for a module and imports it when an attribute is first asked for."""

    def __getattr__(self, name: str):
        with warnings.catch_warnings():  # TFF's companions warn about their own dependencies
            warnings.simplefilter("ignore")
            module = importlib.import_module(self.__name__)
        value = getattr(module, name)
        setattr(self, name, value)
        return value


tf = _LazyModule("tensorflow")
tff = _LazyModule("tensorflow_federated")

"""Import of matplotlib, whatever backend the environment names."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any


def import_matplotlib() -> Any:
    """Import matplotlib, without MPLBACKEND if that names a backend unknown to it.

    A notebook names its own backend for all programs that it starts, and its package may not be
    where they run.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from its dependencies; errors for some callers
        try:
            import matplotlib.figure
        except ValueError:
            named = os.environ.pop("MPLBACKEND", None)
            if named is None:
                raise
            for name in [name for name in sys.modules if name.startswith("matplotlib")]:
                del sys.modules[name]  # partially imported
            try:
                import matplotlib.figure
            finally:
                os.environ["MPLBACKEND"] = named
    return matplotlib

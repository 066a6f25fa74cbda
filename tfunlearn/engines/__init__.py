"""Engines that run the work of clients, behind one seam (`engine.Engine`)."""

from tfunlearn.engines.choosing import (
    ENGINES,
    choose_engine,
    overriding_engine,
    require_tff,
    tff_is_usable,
    using_engine,
)
from tfunlearn.engines.engine import Engine

__all__ = [
    "ENGINES",
    "Engine",
    "choose_engine",
    "overriding_engine",
    "require_tff",
    "tff_is_usable",
    "using_engine",
]

"""Schedules: pure predicates of a number counted from 1 (round, epoch or step)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

from tfunlearn.core.errors import UserError, choose, require, require_whole


@dataclass(frozen=True)
class Every:
    """True at `start`, `start + period`, `start + 2 period`, ...; also works on integer tensors."""

    period: int
    start: int = 1

    def __post_init__(self):
        for name in ("period", "start"):
            value = getattr(self, name)
            require_whole(name, value, 1)

    def __call__(self, number):
        return (number >= self.start) & ((number - self.start) % self.period == 0)


@dataclass(frozen=True)
class Between:
    """True from `first` to `last`, both included; without `last`, from `first` on."""

    first: int
    last: int | None = None

    def __post_init__(self):
        require_whole("first", self.first, 1)
        if self.last is not None:
            require_whole("last", self.last, 1)
            require("last", self.last, self.last >= self.first, f"at least first ({self.first})")

    def __call__(self, number: int) -> bool:
        return number >= self.first and (self.last is None or number <= self.last)


@dataclass(frozen=True)
class At:
    """True at the given numbers."""

    numbers: tuple[int, ...]

    def __post_init__(self):
        require("at", self.numbers, len(self.numbers) > 0, "at least one number")
        for number in self.numbers:
            require_whole("at", number, 1)

    def __call__(self, number: int) -> bool:
        return number in self.numbers


SCHEDULES = {"every": Every, "between": Between, "at": At}


def every(period: int, *, start: int = 1) -> Every:
    """Return a schedule that is true at `start`, `start + period`, `start + 2 period`, ..."""
    return Every(period, start)


def between(first: int, last: int | None = None) -> Between:
    """Return a schedule that is true from `first` to `last`, both included."""
    return Between(first, last)


def at(*numbers: int) -> At:
    """Return a schedule that is true at `numbers`."""
    return At(tuple(numbers))


def schedule_config(schedule: Callable) -> dict | Callable:
    """Return a schedule of this module as JSON values; return any other callable unchanged."""
    for name, kind in SCHEDULES.items():
        if type(schedule) is kind:
            return {"name": name, **asdict(cast(Any, schedule))}
    return schedule


def schedule_of(config: dict | Callable) -> Callable:
    """Return the schedule described by a configuration from `schedule_config`.

    Raises:
        UserError: the configuration is invalid.
    """
    if callable(config):
        return config
    require(
        "schedule",
        config,
        isinstance(config, dict) and "name" in config,
        "a callable, or the configuration of a schedule",
    )
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config.items()
        if name != "name"
    }
    kind = choose("schedule", config["name"], SCHEDULES)
    try:
        return kind(**values)
    except TypeError:
        raise UserError(
            f"schedule: {kind.__name__} takes the fields {', '.join(kind.__dataclass_fields__)}; "
            f"got {config!r}"
        )

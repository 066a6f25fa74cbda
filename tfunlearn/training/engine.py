"""The engine of a run, and what the run records of it."""

from __future__ import annotations

from typing import Any

from tfunlearn.config.run_config import RunConfig
from tfunlearn.core import compute
from tfunlearn.engines import Engine, choose_engine, overriding_engine


def engine_of(config: RunConfig) -> Engine:
    """Return the engine that a configuration names, or the one of `using_engine`.

    Raises:
        UserError: it is not installed, or does not take the settings of the configuration.
    """
    at_once, override = config.compute.clients_at_once, overriding_engine()
    if override is None:
        return choose_engine(config.compute.engine, clients_at_once=at_once)
    return choose_engine(override, clients_at_once=None if override == "tff" else at_once)


def compute_record(config: RunConfig) -> dict[str, Any]:
    """Return what a run records of its engine: name, settings of TensorFlow, place."""
    engine = engine_of(config)
    return {"engine": engine.name, **compute.settings(), "where": engine.where()}


def versions_of(config: RunConfig) -> dict[str, str]:
    """Return the versions that determine the bits of a run."""
    return dict(engine_of(config).versions())


def engine_notes(
    config: RunConfig, stored: dict[str, Any] | None = None, finished: int = 0
) -> dict[str, Any]:
    """Return what `config.json` notes of the versions and engines that ran the rounds of a run.

    `versions` and `compute` are those of its first rounds. Each entry of `continued` has those of
    the rounds from `from_round` on, where a process that resumed the run had others.

    Args:
        config: the run's configuration.
        stored: the content of the run's `config.json`; default none, the run begins.
        finished: number of finished rounds.
    """
    now = {"versions": versions_of(config), "compute": compute_record(config)}
    if stored is None or not finished:
        return now
    begun = until(stored, finished)
    kept = {name: begun[name] for name in (*now, "continued") if name in begun}
    if changes_since(stored, config, finished):
        kept["continued"] = [*_continued(begun), {"from_round": finished + 1, **now}]
    return kept


def until(stored: dict[str, Any], finished: int) -> dict[str, Any]:
    """Return the content of a `config.json` without notes on rounds after the finished ones."""
    rest = {name: value for name, value in stored.items() if name != "continued"}
    entries = [one for one in _continued(stored) if one["from_round"] <= finished]
    return {**rest, "continued": entries} if entries else rest


def changes_since(stored: dict[str, Any], config: RunConfig, finished: int) -> list[str]:
    """Return in words how versions and engine differ from those of a run's last finished round.

    Args:
        stored: the content of the run's `config.json`.
        config: the run's configuration.
        finished: number of finished rounds; without any nothing differs.
    """
    if not finished:
        return []
    last = ([stored] + _continued(until(stored, finished)))[-1]
    found = []
    then, now = last.get("versions"), versions_of(config)
    if isinstance(then, dict):
        found += compute.differences(then, now)
    began = last.get("compute")
    if isinstance(began, dict):
        place = {name: value for name, value in began.items() if name != "where"}
        found += compute.differences(place, compute_record(config))
    return found


def in_words(changes: list[str]) -> str:
    """Return the warning for what `changes_since` has found."""
    return (
        "other versions or settings than in the rounds before, so that bits may differ: "
        + ", ".join(changes)
    )


def _continued(stored: dict[str, Any]) -> list[dict[str, Any]]:
    entries = stored.get("continued")
    return [
        one
        for one in (entries if isinstance(entries, list) else [])
        if isinstance(one, dict) and isinstance(one.get("from_round"), int)
    ]

"""Stored findings of detectors: `detections.json` in the run folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfunlearn.config.run_config import RunConfig
from tfunlearn.core.errors import UserError, first_line
from tfunlearn.core.files import checksum, digest_of, read_arrays, write_json
from tfunlearn.core.schedules import between
from tfunlearn.detection import DETECTORS, Detection
from tfunlearn.runs.run_directory import RunDirectory


@dataclass(frozen=True)
class StoredDetection:
    """Findings of a detector on a run.

    Attributes:
        found: the findings.
        since: for each flagged client, the round from which on it stayed flagged.
        settings: settings of the detector.
        checkpoint_sha256: checksum of the run's weights at the time.
    """

    found: Detection
    since: tuple[int, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_sha256: str = ""


def write_detections(directory: RunDirectory, found: Sequence[StoredDetection]) -> None:
    """Write findings; earlier ones of the same detectors are replaced, others stay."""
    names = {one.found.detector for one in found}
    kept = [one for one in read_detections(directory) if one.found.detector not in names]
    content = {"detections": [dataclasses.asdict(one) for one in [*kept, *found]]}
    content = json.loads(json.dumps(content))
    write_json(directory.detections, {**content, "sha256": digest_of(content)})


def read_detections(directory: RunDirectory) -> list[StoredDetection]:
    """Return the stored findings, oldest first; none if there are none.

    Raises:
        UserError: the file is damaged.
    """
    try:
        content = json.loads(directory.detections.read_text(encoding="utf-8"))
        if content.pop("sha256") != digest_of(content):
            raise ValueError("its checksum is another")
        return [stored_detection(one) for one in content["detections"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"run: {directory.detections} is damaged ({first_line(error)}); remove it and run "
            "tfunlearn detect again"
        )


def choose_detection(directory: RunDirectory, detector: str | None = None) -> StoredDetection:
    """Return the findings that a request by `detected` means.

    Args:
        directory: the run.
        detector: its name; default the only one, or any of several that flag the same clients.

    Raises:
        UserError: there are none, none of this name, or several that flag different clients.
    """
    if not directory.config.exists():
        raise UserError(f"run: '{directory.path}' is no run directory (no config.json)")
    stored = read_detections(directory)
    again = f"tfunlearn detect {directory.path}" + (f" --detector {detector}" if detector else "")
    names = (None, detector) if detector is None else (detector, DETECTORS.name_of(detector))
    chosen = [one for one in stored if detector is None or one.found.detector in names]
    if not chosen:
        raise UserError(f"detected: no findings are stored with {directory.path}; run {again}")
    if len({one.found.flagged for one in chosen}) > 1:
        names = ", ".join(one.found.detector for one in chosen)
        raise UserError(
            f"detected: {names} flag different clients; choose one with --detector NAME "
            "(detected:NAME in files and Python)"
        )
    if chosen[-1].checkpoint_sha256 != checksum(directory.checkpoint):
        raise UserError(
            f"detected: the findings are of an earlier state of {directory.path}; run {again}"
        )
    return chosen[-1]


def known_attackers(
    directory: RunDirectory, config: RunConfig, rounds: Sequence[int]
) -> tuple[int, ...] | None:
    """Return the clients that attacked in a simulated run; None if the run does not record them.

    Args:
        directory: the run.
        config: its configuration, which has the attack's schedule.
        rounds: the rounds that count; nobody attacked if none of them is attacked.
    """
    due = between(config.attack.attack_start, config.attack.attack_stop)
    if not config.attack.attack or not any(map(due, rounds)):
        return () if directory.partition.exists() else None
    try:
        found = np.sort(read_arrays(directory.partition)["malicious"])
        return tuple(int(k) for k in found)
    except Exception:  # no such file, or damaged: numpy raises errors of many types
        return None


def stored_detection(content: Mapping[str, Any]) -> StoredDetection:
    """Return findings of their JSON object.

    Raises:
        KeyError, TypeError: it is damaged.
    """
    found = dict(content["found"])
    for name in ("ids", "scores", "flagged", "rounds", "remarks"):
        found[name] = tuple(found[name])
    return StoredDetection(
        Detection(**found),
        tuple(content["since"]),
        content["settings"],
        content["checkpoint_sha256"],
    )

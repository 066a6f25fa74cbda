"""Detection of malicious clients in a finished run, from its kept rounds."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfunlearn.core.errors import UserError, require
from tfunlearn.core.families import settings_for
from tfunlearn.core.files import checksum
from tfunlearn.core.names import Names
from tfunlearn.core.vectors import from_vector, to_vector
from tfunlearn.detection import (
    DETECTORS,
    Detection,
    Detector,
    Flags,
    Grade,
    ObservedRound,
    Server,
    Watch,
    grade,
    lasting_since,
)
from tfunlearn.methods.source import KeptRounds, open_history
from tfunlearn.runs.detections import StoredDetection, known_attackers, write_detections
from tfunlearn.runs.loading import load_with
from tfunlearn.training.federation import Federation
from tfunlearn.training.threat_model import judge_on

DEFAULT = ("fldetector",)


@dataclass(frozen=True)
class Graded:
    """Findings of a detector on a run, with their grade.

    Attributes:
        stored: the findings, as they are stored with the run.
        grade: against the clients that attacked; None where these are unknown.
        since: round from which on all attackers stayed flagged; None if there is none.
    """

    stored: StoredDetection
    grade: Grade | None = None
    since: int | None = None


@dataclass(frozen=True)
class RunDetection:
    """Result of `detect_run`.

    Attributes:
        results: one per detector, in the order asked for.
        malicious: ids of the clients that attacked, for the grades only; None if unknown.
        names: names of the clients.
        skipped: detectors that cannot work on the run, and why.
    """

    results: list[Graded]
    malicious: tuple[int, ...] | None
    names: Names
    skipped: dict[str, str] = field(default_factory=dict)


def detect_run(
    run: str | os.PathLike,
    detectors: Sequence[str] = DEFAULT,
    *,
    data_dir: str | None = None,
    skip: bool = False,
    track: Callable[[Sequence], Iterable] = lambda steps: steps,
    **settings: Any,
) -> RunDetection:
    """Return the clients of a run that detectors hold malicious, and store the findings with it.

    Every kept round is read once, for all detectors together. Who attacked is read afterwards, for
    the grades.

    Args:
        run: the run directory.
        detectors: names of detectors; default `fldetector`.
        data_dir: folder of the data set, for detectors that need the server's examples.
        skip: skip detectors that cannot work on the run, if any other can; default False.
        track: wraps the rounds to show progress.
        **settings: settings of the detectors.

    Raises:
        UserError: there is no run, an unknown detector, or too few kept rounds or clients.
    """
    names = [DETECTORS.name_of(name) for name in dict.fromkeys(detectors)]
    require("detector", list(detectors), bool(names), "at least one name")
    own = dict(zip(names, settings_for([(DETECTORS, name) for name in names], settings)))
    kept = open_history(run, data_dir)
    skipped: dict[str, str] = {}

    def attempt(name: str, step: Callable[[], Any]) -> Any:
        """Return the result of a step; note why it fails, or raise if nothing may be skipped."""
        try:
            return step()
        except UserError as error:
            if not skip:
                raise
            skipped[name] = str(error)

    judge = functools.cache(lambda: _judge(kept))  # loads data and model, once for all
    rounds, watches, flags = kept.history.rounds, {}, {}
    for name in names:
        watches[name] = attempt(name, lambda name=name: _watch(name, own[name], kept, judge))
        flags[name] = Flags()
    for number in track(rounds):
        received = kept.history.read(number)
        seen = ObservedRound(number, to_vector(received.weights), received.ids, received.updates)
        for name, watch in watches.items():
            if watch is not None:
                watch.add(seen)
                with contextlib.suppress(UserError):  # too few rounds so far
                    flags[name].append((number, watch.decide().flagged))
    digest, stored = checksum(kept.directory.checkpoint), []
    for name, watch in watches.items():
        found = None if watch is None else attempt(name, watch.decide)
        if found is not None:
            found = dataclasses.replace(found, detector=name)  # as it can be named again
            since = _since(found, flags[name])
            stored.append(StoredDetection(found, since, dataclasses.asdict(own[name]), digest))
    if not stored:
        raise UserError(next(iter(skipped.values())))
    with kept.directory.locked():
        write_detections(kept.directory, stored)
    malicious = known_attackers(kept.directory, kept.config, rounds)
    graded = [
        Graded(one)
        if malicious is None
        else Graded(
            one,
            grade(one.found, malicious),
            lasting_since(flags[one.found.detector], set(malicious) & set(one.found.ids)),
        )
        for one in stored
    ]
    return RunDetection(graded, malicious, kept.directory.read_names(), skipped)


def _watch(name: str, own: Any, kept: KeptRounds, judge: Callable) -> Watch:
    """Return a detector that is ready to watch the kept rounds.

    Raises:
        UserError: too few rounds, or no examples of the server where it needs some.
    """
    detector, config = DETECTORS.find(name), kept.config
    _require_rounds(detector, own, kept)
    judged = judge() if detector.needs_judge else None
    return Watch(detector, own, Server(config.aggregator.f, config.seed, judged))


def _judge(kept: KeptRounds) -> Callable | None:
    """Return the judgment of steps on the server's examples; None if it holds none."""
    held = Federation.of(kept.config, kept.directory.read_data()).held_back
    if held is None:
        return None
    state = kept.directory.read_state()
    judge = judge_on(held, load_with(kept.directory, state))
    shapes = [w.shape for w in state.weights]
    return lambda model, step: judge(from_vector(model, shapes), step)


def _since(found: Detection, flags: Flags) -> tuple[int, ...]:
    """Return, for each flagged client, the round from which on it stayed flagged."""
    return tuple(lasting_since(flags, [client]) or found.rounds[-1] for client in found.flagged)


def _require_rounds(detector: Detector, own: Any, kept: KeptRounds) -> None:
    """Check that enough rounds are kept before any is read.

    Raises:
        UserError: too few, or rounds that do not follow each other.
    """
    least, rounds = detector.least_rounds(own), kept.history.rounds
    policy = kept.config.history.text
    apart = detector.consecutive and any(b - a != 1 for a, b in zip(rounds, rounds[1:]))
    if len(rounds) >= least and not apart:
        return
    raise UserError(
        f"detector: {detector.name} needs {least} kept rounds{detector.following}; "
        f"{kept.directory.path} keeps {len(rounds)} of {kept.rounds} (history {policy}); "
        f"train at least {least} rounds with --history all"
    )

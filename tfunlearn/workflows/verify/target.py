"""Target of a verification: an unlearned run, its source run, and retrained models."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.config.run_config import RunConfig
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.files import user_path
from tfunlearn.core.seeds import integers
from tfunlearn.methods.settings import reference_method, unlearn_settings
from tfunlearn.methods.source import require_not_failed
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.runs.loading import stored_config
from tfunlearn.runs.run_directory import RunDirectory, read_record
from tfunlearn.training.resume import resume_training
from tfunlearn.training.train import train
from tfunlearn.workflows.evaluate.retraining import retrain
from tfunlearn.workflows.evaluate.runs_compared import Unlearned, open_compared_runs
from tfunlearn.workflows.unlearn.callbacks import RoundsAsReference, UnlearningCallbacks, Watch
from tfunlearn.workflows.unlearn.workflow import unlearn


@dataclass(frozen=True)
class VerificationTarget:
    """Target of a verification.

    Attributes:
        unlearned: the unlearned run.
        task: the request for the source run, with the method retrain.
        retrained: models that never saw the forget set.
    """

    unlearned: Unlearned
    task: UnlearningTask
    retrained: list[Unlearned]

    @property
    def before(self) -> list[np.ndarray]:
        """Weights before unlearning."""
        return self.task.source.state.weights


def open_target(
    run: str | os.PathLike, against: Sequence[str | os.PathLike], data_dir: str | None
) -> VerificationTarget:
    """Read the target of a verification.

    Args:
        run: the unlearned run.
        against: retrained runs of the same request, which may be empty; they become `retrained`.
        data_dir: directory of the data set; default that of the run's configuration.

    Raises:
        UserError: no run, a damaged run, a run that was not unlearned or was retrained, or a run in
            `against` that is not a retrained run of the same request.
    """
    record = read_record(RunDirectory(user_path(run)))
    begun = RunDirectory(user_path(run)).config.exists()
    require(
        "run",
        str(run),
        record is not None or not begun,
        "an unlearned run; forget something first (tfunlearn unlearn)",
    )
    subjects = open_compared_runs([run, *against], data_dir=data_dir)
    opened = [one for runs in subjects.methods.values() for one in runs]
    path = os.path.realpath(user_path(run))
    unlearned = next(one for one in opened if os.path.realpath(one.directory.path) == path)
    require(
        "run",
        str(run),
        unlearned.record.method != reference_method(),
        "an unlearned run, not a retrained one, which is the reference",
    )
    retrained = [one for one in opened if one is not unlearned]
    for one in retrained:
        require(
            "against",
            str(one.directory.path),
            one.record.method == reference_method(),
            f"runs of unlearn --method {reference_method()}",
        )
    return VerificationTarget(unlearned, subjects.task, retrained)


def with_retrained(
    subject: VerificationTarget, count: int, watch: UnlearningCallbacks
) -> VerificationTarget:
    """Return the subject with `count` retrained models; those that do not exist next to the source
    run are trained."""
    silent = RoundsAsReference(watch)
    return dataclasses.replace(
        subject, retrained=[retrain(subject.task, number, silent) for number in range(1, count + 1)]
    )


@dataclass(frozen=True)
class Shadow:
    """One shadow federation.

    Attributes:
        trained: weights after training with the forget set.
        unlearned: weights after unlearning the forget set.
    """

    trained: list[np.ndarray]
    unlearned: list[np.ndarray]


def shadow(subject: VerificationTarget, number: int, on_round: Callable[[dict], None]) -> Shadow:
    """Return the `number`-th shadow federation, counted from 1, trained now if it does not exist.

    The same clients with the same examples are trained with other initial weights, shuffles and
    client samples, then unlearned by the same method with the same settings. The shadow federation
    is stored in `<source run>-shadows/`, next to the source run, which must not be an unlearned run
    itself.
    """
    source, record = subject.task.source, subject.unlearned.record
    seed = int(integers(source.federation.seed, "shadow federation", number)[0])
    config = source.federation.config
    config = dataclasses.replace(
        config, training=dataclasses.replace(config.training, training_seed=seed)
    )
    path = source.directory.path.resolve()
    trained = _train(config, path.with_name(f"{path.name}-shadows") / str(number), on_round)
    knobs = {name: value for name, value in record.settings.items() if value is not None}
    request = unlearn_settings(
        **{**knobs, "forget": record.requests[-1], "unlearn_seed": seed, "reference": False}
    )
    run = unlearn(trained.path, request, watch=Watch(round=on_round))
    unlearned = run.directory
    require_not_failed(unlearned, run.record)
    return Shadow(trained.read_state().weights, unlearned.read_state().weights)


def _train(config: RunConfig, path: pathlib.Path, on_round: Callable) -> RunDirectory:
    """Return the run of a configuration; train it if it is missing, resume it if incomplete."""
    directory = RunDirectory(path)
    if not directory.config.exists():
        return train(config, out=path, on_round=on_round).directory
    if stored_config(directory).flat() != config.flat():
        raise UserError(f"shadows: {path} is in use by another run; move it away")
    if directory.model.exists() and len(directory.read_metrics()) == config.training.rounds:
        directory.read_state()
        return directory
    return resume_training(path, on_round=on_round).directory

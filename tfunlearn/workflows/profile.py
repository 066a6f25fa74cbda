"""Accuracy and loss by class and client, measured when a run ends and recorded for its reports."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os

import numpy as np

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import checksum, digest_of, user_path, write_json
from tfunlearn.core.json_values import from_json
from tfunlearn.core.verification_record import (
    ClassMetrics,
    ClientMetrics,
    Comparison,
    ConfusionMatrices,
)
from tfunlearn.evaluation import OutputsOf, cross_entropies
from tfunlearn.methods.settings import reference_method
from tfunlearn.models.outputs import gives_probabilities
from tfunlearn.report.facts import Profile
from tfunlearn.runs.loading import open_run
from tfunlearn.runs.run_directory import RunDirectory, read_record, unlearning_record
from tfunlearn.training.federation import Federation
from tfunlearn.training.train import TrainingRun
from tfunlearn.workflows.unlearn.workflow import UnlearningRun
from tfunlearn.workflows.verify import behaviour
from tfunlearn.workflows.verify.predictions import Sets
from tfunlearn.workflows.verify.target import open_target

FILE = "profile.json"


def record_profile(run: TrainingRun | UnlearningRun, data_dir: str | None = None) -> None:
    """Measure the profile of a run made just now, and write it to `profile.json`.

    A profile that cannot be measured, or that has values which are not finite, is not written;
    `report` says why, or measures it.
    """
    if isinstance(run, UnlearningRun) and not run.new:
        return
    with contextlib.suppress(UserError, ValueError):
        profile = (
            _trained_profile(run.federation, run.model)
            if isinstance(run, TrainingRun)
            else _unlearned_profile(run.directory, data_dir)
        )
        content = {**_identity(run.directory), "profile": dataclasses.asdict(profile)}
        json.dumps(content, allow_nan=False)
        write_json(run.directory.path / FILE, {**content, "sha256": digest_of(content)})


def profile_of(run: str | os.PathLike, data_dir: str | None = None) -> Profile:
    """Return the recorded profile of a run, or the profile measured now.

    Raises:
        UserError: it cannot be measured.
    """
    directory = RunDirectory(user_path(run))
    recorded = _recorded(directory)
    if recorded is not None:
        return recorded
    if read_record(directory) is not None:
        return _unlearned_profile(directory, data_dir)
    _, config, _, model = open_run(run, data_dir, reading=True)
    return _trained_profile(Federation.of(config, directory.read_data()), model)


def _identity(directory: RunDirectory) -> dict[str, str | None]:
    """Return the checksums of what a profile depends on; a record names the models compared."""
    return {
        "checkpoint_sha256": checksum(directory.checkpoint),
        "unlearning_sha256": (
            checksum(directory.unlearning) if directory.unlearning.exists() else None
        ),
    }


def _recorded(directory: RunDirectory) -> Profile | None:
    """Return the recorded profile, None if there is none of these models or it is damaged."""
    try:
        content = json.loads((directory.path / FILE).read_text())
        if content.pop("sha256") != digest_of(content):
            return None
        profile = from_json(Profile, content.pop("profile"))
        return profile if content == _identity(directory) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _trained_profile(federation: Federation, model) -> Profile:
    """Return accuracy and loss by class and client, and the confusion, of a trained model."""
    outputs_of = OutputsOf(model)
    data, held, from_logits = federation.data, federation.clients, not gives_probabilities(model)

    def of(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = outputs_of(images)
        return outputs.argmax(axis=1), cross_entropies(outputs, labels, from_logits=from_logits)

    def values(hits: np.ndarray, losses: np.ndarray) -> tuple[Comparison, Comparison]:
        accuracy, loss = (
            Comparison(None, float(values.mean()), retrained=[]) for values in (hits, losses)
        )
        return accuracy, loss

    predicted, losses = of(data.test_features, data.test_labels)
    confusion = np.zeros((data.classes, data.classes), int)
    np.add.at(confusion, (data.test_labels, predicted), 1)
    classes = [
        ClassMetrics(label, int(rows.sum()), *values(predicted[rows] == label, losses[rows]))
        for label in range(data.classes)
        if (rows := data.test_labels == label).any()
    ]
    own, own_losses = of(held.features, held.labels)
    hits = own == held.labels
    clients = [
        ClientMetrics(
            int(k),
            "training",
            int(held.sizes[k]),
            *values(hits[held.rows(k)], own_losses[held.rows(k)]),
        )
        for k in held.present
    ]
    return Profile(classes, clients, ConfusionMatrices(None, confusion.tolist(), retrained=[]))


def _unlearned_profile(directory: RunDirectory, data_dir: str | None) -> Profile:
    """Return the same for the models before, after and (if any) retrained."""
    unlearning = unlearning_record(directory)
    if unlearning.method == reference_method():
        raise UserError("this is a retrained run; see the reports of the runs compared with it")
    reference = [unlearning.reference] if unlearning.reference else []
    subject = open_target(directory.path, reference, data_dir)
    sets = Sets(subject.task, 0)
    before, after, *retrained = [
        sets.view(weights)
        for weights in (
            subject.before,
            subject.unlearned.weights,
            *(one.weights for one in subject.retrained),
        )
    ]
    return Profile(
        behaviour.by_class(sets, before, after, retrained),
        behaviour.by_client(sets, before, after, retrained),
        behaviour.confusion(before, after, retrained),
    )

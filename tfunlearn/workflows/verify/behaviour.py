"""Behavior of the models: accuracy and loss by set, class and client, relearning, inversion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfunlearn.core.seeds import at_most, generator
from tfunlearn.core.verification_record import (
    ClassMetrics,
    ClientMetrics,
    Comparison,
    ConfusionMatrices,
    GroupRow,
    Inversion,
    MemorizationGroups,
    Relearning,
)
from tfunlearn.evaluation import OutputsOf, gme_report
from tfunlearn.evaluation.memorization import GROUPS
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.models.outputs import gives_probabilities
from tfunlearn.verification import anamnesis_index, invert_class, relearn_time
from tfunlearn.workflows.verify.central import CentralTraining
from tfunlearn.workflows.verify.predictions import ModelPredictions, Sets
from tfunlearn.workflows.verify.settings import VerifySettings

MOST_RELEARNED, POINTS_EACH_EPOCH, MOST_INVERTED, LEAST_GROUPED = 2000, 10, 3, 20


def confusion(
    before: ModelPredictions, after: ModelPredictions, retrained: Sequence[ModelPredictions]
) -> ConfusionMatrices:
    """Return the confusion matrices of the test images."""
    first, second, *others = (view.confusion.tolist() for view in (before, after, *retrained))
    return ConfusionMatrices(first, second, others)


def measures(
    before: ModelPredictions, after: ModelPredictions, retrained: Sequence[ModelPredictions]
) -> dict[str, Comparison]:
    """Return accuracy and loss on each set, attack success rate and source-class error."""
    views, found = (before, after, *retrained), {}
    for name in ("forgotten", "remaining", "test"):
        for what in ("accuracy", "loss"):
            values = [getattr(view, what)(name) for view in views]
            found[f"{name} {what}"] = Comparison(values[0], values[1], values[2:])
    for name in ("attack_success", "source_error"):
        values = [view.measured[name] for view in views]
        found[name.replace("_", " ")] = Comparison(values[0], values[1], values[2:])
    return found


def by_class(
    sets: Sets,
    before: ModelPredictions,
    after: ModelPredictions,
    retrained: Sequence[ModelPredictions],
) -> list[ClassMetrics]:
    """Return accuracy and loss on the test images of each class that has test images."""
    labels = sets.sets["test"].labels
    return [
        ClassMetrics(
            label,
            int((labels == label).sum()),
            **_of_rows("test", labels == label, before, after, retrained),
        )
        for label in range(sets.classes)
        if (labels == label).any()
    ]


def by_client(
    sets: Sets,
    before: ModelPredictions,
    after: ModelPredictions,
    retrained: Sequence[ModelPredictions],
) -> list[ClientMetrics]:
    """Return accuracy and loss on the training data of each client: its part of the retain set, or
    its part of the forget set if it has none."""
    found = []
    held = {name: sets.sets[name].owners for name in ("remaining", "forgotten")}
    for client in np.unique(np.concatenate(list(held.values()))):
        name = "remaining" if (held["remaining"] == client).any() else "forgotten"
        rows = held[name] == client
        found.append(
            ClientMetrics(
                int(client),
                name,
                int(rows.sum()),
                **_of_rows(name, rows, before, after, retrained),
            )
        )
    return found


def _of_rows(
    name: str, rows: np.ndarray, before: ModelPredictions, after: ModelPredictions, retrained
) -> dict[str, Comparison]:
    return {
        what: Comparison(
            getattr(before, what)(name, rows),
            getattr(after, what)(name, rows),
            [getattr(view, what)(name, rows) for view in retrained],
        )
        for what in ("accuracy", "loss")
    }


def groups(
    before: ModelPredictions, after: ModelPredictions, retrained: Sequence[ModelPredictions]
) -> MemorizationGroups | None:
    """Return accuracy on the forget set by groups of memorization; None for fewer than 20 examples
    or 2 retrained models."""
    hits = [view.hits["forgotten"].astype(float) for view in (before, after, *retrained)]
    chances = [np.exp(-view.losses["forgotten"]) for view in (before, *retrained)]
    if len(retrained) < 2 or len(hits[0]) < LEAST_GROUPED:
        return None
    report = gme_report(
        chances[0], np.stack(chances[1:]), {"after": hits[1]}, hits[0], np.stack(hits[2:])
    )
    names = {"original": "before", "after": "after", "retrained": "retrained"}
    return MemorizationGroups(
        [*GROUPS, "all"],
        report.sizes,
        **{
            name: GroupRow(report.rows[row].mean.tolist(), report.rows[row].spread.tolist())
            for row, name in names.items()
        },
    )


def relearning(
    task: UnlearningTask,
    sets: Sets,
    settings: VerifySettings,
    weights: dict[str, list[np.ndarray]],
    before: Sequence[np.ndarray],
    track,
) -> Relearning:
    """Return the relearn time of each model, trained on the forget set alone.

    Args:
        task: the unlearning task.
        sets: the evaluation sets; at most 2,000 examples of the forget set are used.
        settings: maximum number of epochs, and share of the accuracy that may be missing.
        weights: name to the model's weights; `after` and the retrained models.
        before: weights of the model before unlearning, whose accuracy is to be reached.
        track: wraps the models, to show progress.
    """
    forgotten, config = sets.sets["forgotten"], task.source.federation.client_training
    rows = at_most(
        np.arange(len(forgotten.labels)),
        MOST_RELEARNED,
        generator(settings.verify_seed, "relearned examples"),
    )
    images, labels = forgotten.features[rows], forgotten.labels[rows]
    model, outputs_of = task.source.model, OutputsOf(task.source.model)
    original = _accuracy(outputs_of(images, before), labels)
    central = CentralTraining(
        model, optimizer=config.optimizer, lr=config.lr, batch_size=config.batch_size
    )
    epoch = -(-len(rows) // config.batch_size)
    each, limit = max(1, epoch // POINTS_EACH_EPOCH), epoch * settings.relearn_epochs
    curves, steps = {}, {}
    for name, start in track(list(weights.items())):
        points = [[0, _accuracy(outputs_of(images, start), labels)]]
        for done in central.steps(
            start, images, labels, seed=settings.verify_seed, epochs=settings.relearn_epochs
        ):
            if done % each == 0 or done == limit:
                points.append([done, _accuracy(outputs_of(images), labels)])
                if relearn_time([points[-1][1]], original, alpha=settings.relearn_alpha) == 0:
                    break
        reached = relearn_time([p[1] for p in points], original, alpha=settings.relearn_alpha)
        curves[name], steps[name] = points, None if reached is None else points[reached][0]
    others = [value for name, value in steps.items() if name != "after"]
    mean = float(np.mean(others)) if others and None not in others else None
    return Relearning(
        curves=curves,
        steps=steps,
        limit=limit,
        each=each,
        examples=len(rows),
        original=original,
        goal=(1 - settings.relearn_alpha) * original,
        index=anamnesis_index(steps["after"], mean),
    )


def _accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(outputs.argmax(axis=1) == labels))


def inversions(
    task: UnlearningTask, sets: Sets, weights: dict[str, list[np.ndarray]], track
) -> list[Inversion]:
    """Return images that each model assigns to the forgotten classes, and the classes' mean images.

    The three most frequent classes of the forget set are inverted.
    """
    model, forgotten = task.source.model, sets.sets["forgotten"]
    counts = np.bincount(forgotten.labels, minlength=sets.classes)
    labels = np.argsort(-counts, kind="stable")[:MOST_INVERTED]
    found = []
    for label in track([int(label) for label in labels if counts[label]]):
        mean = forgotten.features[forgotten.labels == label].astype(np.float64).mean(axis=0)
        if forgotten.features.dtype == np.uint8:
            mean /= 255
        entry = Inversion(label, _pixels(mean), images={}, costs={}, likeness={})
        for name, own in weights.items():
            model.set_weights(own)
            image = invert_class(model, label, from_logits=not gives_probabilities(model))
            entry.images[name] = _pixels(image.image)
            entry.costs[name] = image.cost
            entry.likeness[name] = _correlation(image.image, mean)
        found.append(entry)
    return found


def _pixels(image: np.ndarray) -> list:
    return np.round(np.clip(image, 0, 1) * 255).astype(int).tolist()


def _correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Return the correlation of two images' pixels, None if either image is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])

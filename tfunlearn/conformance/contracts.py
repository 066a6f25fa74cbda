"""Contracts of the families whose methods are functions of arrays or models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from tfunlearn.aggregation import PreAggregator, Round
from tfunlearn.attacks import AdversaryView, Attack, BoostAttack, Classes, DataAttack, UpdateAttack
from tfunlearn.conformance.finding import Finding, findings_of
from tfunlearn.conformance.properties import F, gaussian_updates
from tfunlearn.core.lazy import tf
from tfunlearn.datasets import DataSet
from tfunlearn.datasets.dataset import require_labeled_data
from tfunlearn.defenses import Defense, ModelDefense, UpdateDefense
from tfunlearn.models import Model, lenet5

CLASSES, SHAPE, CLIENTS = 10, (28, 28, 1), 9
EXAMPLES: dict[str | None, Callable] = {  # 40 examples of each kind of features
    "images": lambda rng: rng.integers(0, 256, (40, *SHAPE)).astype(np.uint8),
    "table": lambda rng: rng.normal(size=(40, 8)).astype(np.float32),
    "tokens": lambda rng: rng.integers(2, 50, (40, 12)).astype(np.int32),
}
EXAMPLES[None] = EXAMPLES["images"]
SHAPES: dict[str | None, tuple] = {
    "images": (32, 32, 3),
    "tokens": (64,),
    "numbers": (20,),
    None: (32, 32, 3),
}
VOCABULARY = 500


def check_step(step: PreAggregator, own: Any) -> list[Finding]:
    """Check a pre-aggregation step."""

    def apply(updates: np.ndarray) -> np.ndarray:
        return np.asarray(step.apply(updates, Round(f=F), own, 3, 4))

    def shape(_: Any) -> tuple:
        updates = gaussian_updates(0)
        found, rows = apply(updates.copy()), step.rows_left(len(updates), own)
        return (
            found.shape == (rows, updates.shape[1]) and found.dtype == np.float32,
            f"{found.dtype} of shape {found.shape}; float32 ({rows}, {updates.shape[1]}) is "
            "expected",
        )

    return findings_of(
        {
            "shape and type": shape,
            "finite": lambda _: _is_finite(apply(gaussian_updates(1))),
            "input unchanged": lambda _: _is_unchanged(apply, gaussian_updates(2)),
            "deterministic": lambda _: _is_deterministic(lambda: apply(gaussian_updates(3))),
        },
        step,
    )


def check_attack(attack: Attack, own: Any) -> list[Finding]:
    """Check an attack on data, an attack on updates, or a boost factor."""
    if isinstance(attack, DataAttack):
        return _check_data_attack(attack, own)
    if isinstance(attack, UpdateAttack):
        if attack.needs_all:
            own = dataclasses.replace(own, knowledge="full")
        return _check_update_attack(attack, own)
    assert isinstance(attack, BoostAttack)
    return findings_of({"factor": lambda _: _positive(attack.factor(10, 3))}, attack)


def _positive(value: float) -> tuple[bool, str]:
    return bool(np.isfinite(value) and value > 0), f"{value:g} for 3 of 10 clients"


def _check_data_attack(attack: DataAttack, own: Any) -> list[Finding]:
    rng = np.random.default_rng(0)
    images = EXAMPLES[attack.takes](rng)
    labels = rng.integers(0, CLASSES, 40).astype(np.int32)

    def poisoned() -> tuple[np.ndarray, np.ndarray]:
        return attack.poison(
            images.copy(), labels.copy(), own, Classes(1, 7), np.random.default_rng(5)
        )

    def shape(_: Any) -> tuple:
        found, relabeled = poisoned()
        return (
            found.shape == images.shape
            and found.dtype == images.dtype
            and np.shape(relabeled) == labels.shape,
            f"images {found.dtype} {found.shape}, labels {np.shape(relabeled)}",
        )

    def classes(_: Any) -> tuple:
        relabeled = np.asarray(poisoned()[1])
        return (
            bool(((relabeled >= 0) & (relabeled < CLASSES)).all()),
            f"labels from {relabeled.min()} to {relabeled.max()}",
        )

    def changes(_: Any) -> tuple:
        found, relabeled = poisoned()
        count = int(
            ((found != images).reshape(len(found), -1).any(axis=1) | (relabeled != labels)).sum()
        )
        return count > 0, f"{count} of {len(labels)} examples changed"

    def unchanged(_: Any) -> tuple:
        given, told = images.copy(), labels.copy()
        attack.poison(given, told, own, Classes(1, 7), np.random.default_rng(5))
        return (
            bool((given == images).all() and (told == labels).all()),
            "the caller's arrays are compared before and after",
        )

    return findings_of(
        {
            "shape and type": shape,
            "classes": classes,
            "changes something": changes,
            "input unchanged": unchanged,
            "deterministic": lambda _: _is_deterministic(lambda: poisoned()[0]),
        },
        attack,
    )


def _check_update_attack(attack: UpdateAttack, own: Any) -> list[Finding]:
    if attack.against is not None:
        return [Finding("crafts updates", None, "it is another attack by the server's rule")]
    rng = np.random.default_rng(0)
    stack, model = rng.standard_normal((CLIENTS, 12)).astype(np.float32), np.ones(12, np.float32)
    benign = stack[3:] if own.knowledge == "full" else None

    def view(own_rows: np.ndarray) -> AdversaryView:
        return AdversaryView(
            own_rows,
            model,
            CLIENTS,
            np.random.default_rng(3),
            benign=benign,
            select=lambda distances, f: np.arange(len(distances)) == len(distances) - 1,
        )

    def crafted(rows: np.ndarray) -> np.ndarray:
        return np.asarray(attack.craft(view(rows), own))

    def shape(_: Any) -> tuple:
        found = crafted(stack[:3].copy())
        return (
            found.shape == (3, 12) and found.dtype == np.float32,
            f"{found.dtype} of shape {found.shape}; float32 (3, 12) is expected",
        )

    def says_when_not(_: Any) -> tuple:
        reasons = [attack.infeasible_reason(CLIENTS, count, own) for count in (1, 3)]
        return reasons[1] is None, f"with 3 of {CLIENTS} clients: {reasons[1] or 'feasible'}"

    return findings_of(
        {
            "shape and type": shape,
            "finite": lambda _: _is_finite(crafted(stack[:3].copy())),
            "input unchanged": lambda _: _is_unchanged(crafted, stack[:3].copy()),
            "deterministic": lambda _: _is_deterministic(lambda: crafted(stack[:3].copy())),
            "feasible": says_when_not,
        },
        attack,
    )


def check_defense(defense: Defense, own: Any) -> list[Finding]:
    """Check a defense that changes the model, or the criteria of one that rejects updates."""
    if isinstance(defense, UpdateDefense):
        known = {"error", "loss"}
        return findings_of(
            {
                "criteria": lambda _: (
                    set(defense.criteria) <= known,
                    f"{', '.join(defense.criteria)}; known are {', '.join(sorted(known))}",
                )
            },
            defense,
        )
    assert isinstance(defense, ModelDefense)
    model = lenet5(SHAPE, CLASSES)
    stage = defense.build(model, own, True)
    weights = model.get_weights()

    def after(given: list[np.ndarray]) -> list[np.ndarray]:
        return stage(1, given)[0]

    def shape(_: Any) -> tuple:
        found = after([w.copy() for w in weights])
        same = [(w.shape, w.dtype) for w in found] == [(w.shape, w.dtype) for w in weights]
        return same, f"{len(found)} arrays; {len(weights)} of the model's shapes are expected"

    def unchanged(_: Any) -> tuple:
        given = [w.copy() for w in weights]
        after(given)
        return (
            all(np.array_equal(a, b) for a, b in zip(given, weights)),
            "the caller's arrays are compared before and after",
        )

    return findings_of(
        {
            "shape and type": shape,
            "finite": lambda _: _is_finite(*after([w.copy() for w in weights])),
            "input unchanged": unchanged,
            "deterministic": lambda _: _is_deterministic(
                lambda: np.concatenate([w.ravel() for w in after([w.copy() for w in weights])])
            ),
        },
        defense,
    )


def check_model(model: Model, own: Any) -> list[Finding]:
    """Check a model: outputs, seeds, weight types, and that it can be stored without code."""
    shape = SHAPES[model.takes]
    vocabulary = VOCABULARY if model.takes == "tokens" else None

    def built(seed: int) -> Any:
        return model.make(shape, CLASSES, seed, own, vocabulary)

    def outputs(_: Any) -> tuple:
        found = built(0)
        given = tuple(found.output_shape)
        return (given == (None, CLASSES), f"outputs {given}; (None, {CLASSES}) is expected")

    def seeds(_: Any) -> tuple:
        first, again, other = (
            np.concatenate([w.ravel() for w in built(seed).get_weights()]) for seed in (0, 0, 1)
        )
        return (
            first.tobytes() == again.tobytes() and first.tobytes() != other.tobytes(),
            "the same seed gives the same weights, another seed others",
        )

    def float32(_: Any) -> tuple:
        kinds = {str(w.dtype) for w in built(0).get_weights()}
        return kinds == {"float32"}, f"weights of {', '.join(sorted(kinds))}"

    def stored(_: Any) -> tuple:
        import tempfile

        from tfunlearn.models import load_model

        found = built(0)
        images = np.zeros((2, *shape), np.float32)
        with tempfile.TemporaryDirectory() as folder:
            found.save(f"{folder}/model.keras")
            back = load_model(f"{folder}/model.keras")
        same = np.array_equal(
            tf.convert_to_tensor(found(images)), tf.convert_to_tensor(back(images))
        )
        return bool(same), "a .keras file gives the same outputs"

    return findings_of(
        {"outputs": outputs, "seeds": seeds, "float32": float32, "stored and loaded": stored}, model
    )


def check_data_set(data_set: DataSet, own: Any, data_dir: str = "data") -> list[Finding]:
    """Check a data set: types, and that loading it again gives the same images."""

    def types(_: Any) -> tuple:
        data = require_labeled_data(data_set.name, data_set.load(data_dir, own))
        return True, (
            f"{len(data.labels)} + {len(data.test_labels)} examples {data.features.shape[1:]} "
            f"{data.features.dtype}, {data.classes} classes"
        )

    return findings_of(
        {
            "types": types,
            "deterministic": lambda _: _is_deterministic(
                lambda: data_set.load(data_dir, own).features
            ),
        },
        data_set,
    )


def _is_finite(*arrays: np.ndarray) -> tuple[bool, str]:
    good = all(np.isfinite(array).all() for array in arrays)
    return bool(good), "finite" if good else "not finite"


def _is_unchanged(apply: Callable, array: np.ndarray) -> tuple[bool, str]:
    before = array.tobytes()
    apply(array)
    return array.tobytes() == before, "the caller's array is compared before and after"


def _is_deterministic(make: Callable[[], np.ndarray]) -> tuple[bool, str]:
    results = {np.asarray(make()).tobytes() for _ in range(3)}
    return len(results) == 1, f"{len(results)} result{'s' * (len(results) > 1)} of 3 equal calls"

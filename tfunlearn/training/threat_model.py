"""Adversary and rejection defense of a run, built from its configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfunlearn.aggregation import Aggregator
from tfunlearn.aggregation.krum import krum_choice
from tfunlearn.attacks import Adversary
from tfunlearn.config.run_config import RunConfig
from tfunlearn.core.lazy import tf
from tfunlearn.core.results import as_array
from tfunlearn.core.schedules import between
from tfunlearn.core.vectors import from_vector
from tfunlearn.datasets import LabeledData
from tfunlearn.defenses import Rejection
from tfunlearn.evaluation import OutputsOf, accuracy, cross_entropy
from tfunlearn.local_training.weight_order import WeightOrder
from tfunlearn.models.outputs import gives_probabilities
from tfunlearn.training.federation import Federation

Judge = Callable[[list[np.ndarray], np.ndarray], tuple[float, float]]


def adversary_of(federation: Federation, model: tf.keras.Model) -> Adversary | None:
    """Return the adversary that crafts malicious updates; None without an attack on updates."""
    config = federation.config
    found = config.update_attack
    if found is None or not len(federation.malicious):
        return None
    attack, own = found
    return Adversary(
        lambda view: as_array("attack", attack.name, attack.craft(view, own), view.own.shape),
        federation.malicious,
        between(config.attack.attack_start, config.attack.attack_stop),
        config.seed,
        own.knowledge,
        aggregate=_aggregation(federation),
        select=_selection(config),
        columns=WeightOrder(model).trainable_columns(),
        infeasible_reason=lambda clients, malicious: attack.infeasible_reason(
            clients, malicious, own
        ),
    )


def _aggregation(federation: Federation):
    """Return the server's rule as the adversary simulates it.

    It is free of random noise; the mean replaces a rule that uses server-held examples.
    """
    rule = federation.config.aggregator.without_noise()
    if rule.reference == "trusted":
        rule = Aggregator()
    sizes = federation.clients.sizes
    if federation.client_weights == "uniform":
        sizes = np.ones(len(sizes))

    def aggregate(stack, ids, dropped, reference, round_number, model) -> np.ndarray:
        return rule(
            stack,
            weights=sizes[ids],
            dropped=dropped,
            reference=reference,
            round_number=round_number,
            model=model,
        )

    return aggregate


def _selection(config: RunConfig):
    """Return the selection that fang-krum simulates: the server's own for (Multi-)Krum."""
    rule = config.aggregator

    def select(distances: np.ndarray, f: int | None, dropped: int) -> np.ndarray:
        f = max(rule.f(len(distances) + dropped) - dropped, 0) if f is None else f
        return krum_choice(distances, f=f, m=rule.method.simulated(rule.own, len(distances), f))

    return select


def rejection_of(federation: Federation, model: tf.keras.Model) -> Rejection | None:
    """Return the rejection defense, which evaluates steps on the server's examples, or None."""
    config = federation.config
    if config.defense.rejection is None:
        return None
    held = federation.held_back
    assert held is not None  # the configuration requires server-held examples
    return config.rejection_by(judge_on(held, model))


def judge_on(held: LabeledData, model: tf.keras.Model) -> Judge:
    """Return the error rate and loss on held examples of weights moved by a step, as a function.

    Args:
        held: the server's examples.
        model: any model of the run's architecture.
    """
    outputs_of, logits = OutputsOf(model), not gives_probabilities(model)
    shapes: list[Any] = [w.shape for w in model.weights]

    def judge(weights: list[np.ndarray], step: np.ndarray) -> tuple[float, float]:
        moved = [old + new for old, new in zip(weights, from_vector(step, shapes))]
        outputs = outputs_of(held.features, moved)
        return (
            1 - accuracy(outputs.argmax(axis=1), held.labels),
            cross_entropy(outputs, held.labels, from_logits=logits),
        )

    return judge

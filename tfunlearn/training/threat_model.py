"""Attack and defence of a run, made from its configuration: adversary and rejection."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from tfunlearn.aggregation import Aggregator
from tfunlearn.aggregation.krum import krum_choice
from tfunlearn.attacks import SCALED, UPDATE_ATTACKS, Adversary, obstacle
from tfunlearn.core.lazy import tf
from tfunlearn.core.schedules import between
from tfunlearn.core.vectors import from_vector
from tfunlearn.defenses import Rejection
from tfunlearn.evaluation import OutputsOf, accuracy, cross_entropy
from tfunlearn.config.run_config import RunConfig
from tfunlearn.training.federation import Federation
from tfunlearn.federated.learning_process import WeightOrder
from tfunlearn.models.outputs import ends_in_softmax


def adversary_of(federation: Federation, model: tf.keras.Model) -> Adversary | None:
    """Returns the stage that crafts malicious updates, or None without an attack on updates."""
    config, attack = federation.config, federation.config.attack
    name = config.update_attack
    if name is None or not len(federation.malicious):
        return None
    knobs = {}
    if name in SCALED and attack.attack_scale is not None:
        knobs["scale"] = attack.attack_scale
    if name == "fang-trim":
        knobs["space"] = attack.attack_space
    return Adversary(
        functools.partial(UPDATE_ATTACKS[name], **knobs), federation.malicious,
        between(attack.attack_start, attack.attack_stop), config.seed, attack.knowledge,
        aggregate=_aggregation(federation), select=_selection(config),
        columns=WeightOrder(model).trainable_columns(),
        obstacle=functools.partial(
            obstacle, name, attack.knowledge, scale=attack.attack_scale))


def _aggregation(federation: Federation):
    """Returns what the server's rule makes of a round; the mean where it has its own examples."""
    rule = replace(federation.config.aggregator, noise=0.0)
    if rule.reference == "trusted":
        rule = Aggregator()
    sizes = federation.clients.sizes
    if federation.config.aggregation.client_weights == "uniform":
        sizes = np.ones(len(sizes))

    def aggregate(stack, ids, dropped, reference, round_number) -> np.ndarray:
        return rule(stack, weights=sizes[ids], dropped=dropped, reference=reference,
                    round_number=round_number)

    return aggregate


def _selection(config: RunConfig):
    """Returns the choice that fang-krum simulates: the server's own if it is (multi-)Krum."""
    rule = config.aggregator

    def select(distances: np.ndarray, f: int | None, dropped: int) -> np.ndarray:
        f = max(rule.f(len(distances) + dropped) - dropped, 0) if f is None else f
        several = len(distances) - f - 2 if rule.selected is None else rule.selected
        return krum_choice(distances, f=f, m=several if rule.rule == "multi-krum" else 1)

    return select


def rejection_of(federation: Federation, model: tf.keras.Model) -> Rejection | None:
    """Returns the rejection defence, which judges on the server's examples, or None."""
    config = federation.config
    if config.defense.rejection is None:
        return None
    held, outputs_of = federation.held_back, OutputsOf(model)
    shapes, logits = [w.shape for w in model.weights], not ends_in_softmax(model)

    def judge(weights: list[np.ndarray], step: np.ndarray) -> tuple[float, float]:
        moved = [old + new for old, new in zip(weights, from_vector(step, shapes))]
        outputs = outputs_of(held.images, moved)
        return (1 - accuracy(outputs.argmax(axis=1), held.labels),
                cross_entropy(outputs, held.labels, from_logits=logits))

    return config.rejection_by(judge)

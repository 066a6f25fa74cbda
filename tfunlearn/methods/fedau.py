"""The plan of FedAU: a second head for what is to be forgotten, and one sum."""

from __future__ import annotations

import numpy as np

from tfunlearn.core.errors import require
from tfunlearn.core.lazy import tf
from tfunlearn.core.seeds import generator
from tfunlearn.evaluation import OutputsOf
from tfunlearn.methods.task import Case, Plan
from tfunlearn.methods.cost import Cost, round_cost
from tfunlearn.methods.settings import UnlearnSettings
from tfunlearn.unlearning import combined, train_head, wrong_labels
from tfunlearn.unlearning.fedau import Head, head_layer, head_places


def plan_fedau(case: Case) -> Plan:
    """FedAU after the fact: trains a second head at those who hold what is to be forgotten.

    It learns all that those clients hold. For clients and examples the labels of what is to be
    forgotten are random wrong ones, all others the true ones, and the head begins every round with
    (1 - gamma) W1 + gamma W2; for classes all labels are the one that is to be forgotten, and the
    head, which begins with zeros, is subtracted.

    Deviation: the method trains the head beside the model from the start; here the model is
    finished and stays as it is (the way the papers that compare with it use it). The forgotten
    client's head begins as the model's own. Rounds and learning rate are chosen here.
    Deviation: for classes the head begins with a random draw there. That has nothing to do with the
    class, and moves the other classes' outputs apart: subtracted it left 0.10 to 0.30 of a
    LeNet-5's 0.97 test accuracy. From zeros they all move alike.

    Reference:
        Gu et al., "Unlearning during Learning: An Efficient Federated Machine Unlearning Method"
        (IJCAI 2024, arXiv 2405.15474).
    """
    model, weights = case.source.model, list(case.source.state.weights)
    places, layer = head_places(model), head_layer(model)
    model.set_weights(weights)
    features_of = OutputsOf(tf.keras.Model(model.inputs, layer.input))
    head = tuple(weights[place] for place in places)
    if case.classes_only:
        for name in ("head_alpha", "head_gamma"):
            value = getattr(case.settings, name)
            require(name, value, value == getattr(UnlearnSettings, name),
                    "nothing where classes alone are forgotten")
        second, cost = _for_classes(case, features_of, head)
        new = head
        for heads in second:
            new = combined(new, heads, alpha=None)
    else:
        heads, cost = _for_examples(case, features_of, head)
        new = combined(head, heads, alpha=case.settings.head_alpha)
    for place, part in zip(places, new):
        weights[place] = part
    return Plan(weights, 0, "rounds", case.training, cost=cost, report=dict(
        head=[model.weights[place].name for place in places], head_rounds=case.settings.head_rounds,
        classes=case.forgotten_classes if case.classes_only else None))


def _for_examples(case: Case, features_of: OutputsOf, head: Head) -> tuple[list[Head], Cost]:
    """Returns the second head of each client that holds forgotten examples."""
    held, forgotten = case.source.remaining.poisoned, case.forgotten_here
    leaving = np.unique(held.owners[forgotten])
    gamma, heads = case.settings.head_gamma, []
    for client in case.track(list(leaving)):
        rows = held.rows(client)
        features, labels = features_of(held.images[rows]), held.labels[rows].copy()
        gone = forgotten[rows]
        labels[gone] = wrong_labels(
            labels[gone], classes=case.source.federation.data.classes,
            forgotten=[*case.forgotten_classes, *case.earlier_classes],
            rng=generator(case.seed, "wrong labels", int(client)))
        second = head
        for number in range(1, case.settings.head_rounds + 1):
            start = tuple(((1 - gamma) * own + gamma * other) for own, other in zip(head, second))
            second = _trained(case, features, labels, start, int(client), number)
        heads.append(second)
    return heads, _cost(case, held.sizes[leaving], head)


def _for_classes(
    case: Case, features_of: OutputsOf, head: Head
) -> tuple[list[list[Head]], Cost]:
    """Returns, for each class, the second head of each client that holds it."""
    held, leaving, found, sizes = case.source.remaining.poisoned, case.leaving.clients, [], []
    features = {int(k): features_of(held.images[held.rows(k)])
                for k in case.track(list(leaving.present))}
    for label in case.forgotten_classes:
        heads, start = [], tuple(np.zeros_like(part) for part in head)
        for client, inputs in features.items():
            if label not in leaving.labels[leaving.rows(client)]:
                continue
            second, constant = start, np.full(len(inputs), label)
            for number in range(1, case.settings.head_rounds + 1):
                second = _trained(case, inputs, constant, second, client, number)
            heads.append(second)
            sizes.append(len(inputs))
        if heads:  # else nobody holds it, or under that label no more
            found.append(heads)
    require("forget", case.request, bool(found),
            "a class that somebody holds under its own label, with fedau")
    return found, _cost(case, np.array(sizes), found[0][0])


def _trained(
    case: Case, features: np.ndarray, labels: np.ndarray, start: Head, client: int, number: int
) -> Head:
    training = case.training
    return train_head(features, labels, start, lr=case.settings.head_lr,
                      epochs=training.local_epochs, batch_size=training.batch_size,
                      rng=generator(case.seed, "second head", client, number))


def _cost(case: Case, examples: np.ndarray, head: Head) -> Cost:
    once = round_cost(examples, case.training, sum(part.size for part in head))
    model = Cost(bytes_down=4 * case.parameters * len(examples))  # once, for the features
    return sum((once for _ in range(case.settings.head_rounds)), model)

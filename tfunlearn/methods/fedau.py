"""FedAU: interpolation of the last layer with an auxiliary head trained on wrong labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfunlearn.core.errors import refuse, require, require_whole
from tfunlearn.core.fields import option
from tfunlearn.core.lazy import tf
from tfunlearn.core.model_inputs import input_structure
from tfunlearn.core.seeds import generator
from tfunlearn.evaluation import OutputsOf
from tfunlearn.methods.cost import Cost, round_cost
from tfunlearn.methods.method import MethodSettings, UnlearningMethod
from tfunlearn.methods.recovery import NUMBER, milder_setting, positive, share
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.unlearning import combine_heads, train_head, wrong_labels
from tfunlearn.unlearning.fedau import Head, head_layer, head_places


@dataclass(frozen=True)
class FedAUSettings(MethodSettings):
    """Settings of FedAU."""

    head_rounds: int = option(10, "Rounds of training of the auxiliary head.")
    head_lr: float = option(0.01, "Learning rate of the auxiliary head.")
    head_alpha: float = option(
        0.5, "Weight of the auxiliary head in the interpolation; unused for classes."
    )
    head_gamma: float = option(
        0.5, "Momentum of the auxiliary head between rounds; unused for classes."
    )

    def __post_init__(self):
        require_whole("head_rounds", self.head_rounds, 1, NUMBER)
        positive("head_lr", self.head_lr)
        share("head_alpha", self.head_alpha)
        share("head_gamma", self.head_gamma)


def plan(task: UnlearningTask, own: FedAUSettings) -> Plan:
    """Plan FedAU post hoc: train an auxiliary head at the clients that hold the forget set.

    The auxiliary head trains on all data of those clients. For clients and examples, the forget set
    has random wrong labels and all other examples their true ones, and every round starts from
        (1 - gamma) W1 + gamma W2
    For classes, every label is the forgotten class, and the head, which starts at zero, is
    subtracted.

    Deviation: the paper trains the head along with the model from the start; here the trained model
    stays as it is (as in the papers that compare with FedAU). The forgotten client's head starts as
    the model's own. The number of rounds and the learning rate are chosen here.
    Deviation: for classes the paper's head starts from random weights. These are unrelated to the
    class and shift the outputs of the other classes apart: subtracting such a head left 0.10 to
    0.30 of a LeNet-5's 0.97 test accuracy. From zeros, all other outputs shift equally.

    Reference:
        Gu et al., "Unlearning during Learning: An Efficient Federated Machine Unlearning Method"
        (IJCAI 2024, arXiv 2405.15474).
    """
    model, weights = task.source.model, list(task.source.state.weights)
    places, layer = head_places(model), head_layer(model)
    model.set_weights(weights)
    features_of = OutputsOf(tf.keras.Model(input_structure(model), layer.input), scores=False)
    head = tuple(weights[place] for place in places)
    if task.classes_only:
        for name in ("head_alpha", "head_gamma"):
            value = getattr(own, name)
            refuse(
                name,
                value,
                value == getattr(FedAUSettings, name),
                "where only classes are forgotten",
            )
        second, cost = _for_classes(task, features_of, head)
        new = head
        for heads in second:
            new = combine_heads(new, heads, alpha=None)
    else:
        heads, cost = _for_examples(task, features_of, head)
        new = combine_heads(head, heads, alpha=task.own.head_alpha)
    for place, part in zip(places, new):
        weights[place] = part
    return Plan(
        weights,
        0,
        "rounds",
        task.training,
        cost=cost,
        report=dict(
            head=[model.weights[place].name for place in places],
            head_rounds=task.own.head_rounds,
            classes=task.forgotten_classes if task.classes_only else None,
        ),
    )


def _for_examples(
    task: UnlearningTask, features_of: OutputsOf, head: Head
) -> tuple[list[Head], Cost]:
    """Return the auxiliary head of each client that holds forgotten examples, and the cost."""
    held, forgotten = task.source.remaining.poisoned, task.forgotten_here
    leaving = np.unique(held.owners[forgotten])
    gamma, heads = task.own.head_gamma, []
    for client in task.track(list(leaving)):
        rows = held.rows(client)
        features, labels = features_of(held.features[rows]), held.labels[rows].copy()
        gone = forgotten[rows]
        labels[gone] = wrong_labels(
            labels[gone],
            classes=task.source.federation.data.classes,
            forgotten=[*task.forgotten_classes, *task.earlier_classes],
            rng=generator(task.seed, "wrong labels", int(client)),
        )
        second = head
        for number in range(1, task.own.head_rounds + 1):
            start = tuple(((1 - gamma) * own + gamma * other) for own, other in zip(head, second))
            second = _train(task, features, labels, start, int(client), number)
        heads.append(second)
    return heads, _cost(task, held.sizes[leaving], head)


def _for_classes(
    task: UnlearningTask, features_of: OutputsOf, head: Head
) -> tuple[list[list[Head]], Cost]:
    """Return, for each class, the auxiliary head of each client that holds it, and the cost."""
    held, leaving, found, sizes = task.source.remaining.poisoned, task.leaving.clients, [], []
    features = {
        int(k): features_of(held.features[held.rows(k)]) for k in task.track(list(leaving.present))
    }
    for label in task.forgotten_classes:
        heads, start = [], tuple(np.zeros_like(part) for part in head)
        for client, inputs in features.items():
            if label not in leaving.labels[leaving.rows(client)]:
                continue
            second, constant = start, np.full(len(inputs), label)
            for number in range(1, task.own.head_rounds + 1):
                second = _train(task, inputs, constant, second, client, number)
            heads.append(second)
            sizes.append(len(inputs))
        if heads:  # else no client holds it under that label
            found.append(heads)
    require(
        "forget",
        task.request,
        bool(found),
        "a class that some client holds under its own label, with fedau",
    )
    return found, _cost(task, np.array(sizes), found[0][0])


def _train(
    task: UnlearningTask,
    features: np.ndarray,
    labels: np.ndarray,
    start: Head,
    client: int,
    number: int,
) -> Head:
    training = task.training
    return train_head(
        features,
        labels,
        start,
        lr=task.own.head_lr,
        epochs=training.local_epochs,
        batch_size=training.batch_size,
        rng=generator(task.seed, "second head", client, number),
    )


def _cost(task: UnlearningTask, examples: np.ndarray, head: Head) -> Cost:
    once = round_cost(examples, task.training, sum(part.size for part in head))
    model = Cost(bytes_down=4 * task.parameters * len(examples))  # once, for the features
    return sum((once for _ in range(task.own.head_rounds)), model)


def describe(report: dict) -> list[str]:
    rounds = report["head_rounds"]
    return [f"second head for {', '.join(report['head'])}, {rounds} round{'s' * (rounds != 1)}"]


def milder(task: UnlearningTask, plan: Plan) -> str | None:
    return None if task.classes_only else milder_setting("head_alpha", 0.5)(task, plan)


FEDAU = UnlearningMethod(
    name="fedau",
    summary="interpolates the last layer with an auxiliary head trained on random labels for the "
    "forget set; no recovery",
    paper="Gu et al., IJCAI 2024, arXiv 2405.15474",
    settings=FedAUSettings,
    plan=plan,
    describe=describe,
    milder=milder,
)

"""Ablation-channel unlearning: at the clients (DE) or at the server (CE)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError, choose, refuse, require_real, require_whole
from tfunlearn.core.fields import option
from tfunlearn.core.seeds import at_most, generator
from tfunlearn.local_training.client_work import ClientTraining
from tfunlearn.local_training.cohort import Cohort
from tfunlearn.methods.cost import Cost
from tfunlearn.methods.method import UnlearningMethod
from tfunlearn.methods.recovery import ADAPTIVE, NUMBER, TrainingSettings, milder_setting
from tfunlearn.methods.server_samples import server_samples
from tfunlearn.methods.task import Plan, UnlearningTask
from tfunlearn.pruning.channels import PARTS, channel_layers, masks_of
from tfunlearn.pruning.graph import Graph
from tfunlearn.training.federation import Federation
from tfunlearn.training.rounds import partial_rounds_of
from tfunlearn.unlearning import (
    ChannelEffects,
    channel_effects,
    select_channels,
    undecided_layers,
    wrong_labels,
)
from tfunlearn.unlearning.channel_selection import ALL_SELECTIONS

MODES = {
    "decentralized": "all clients train and send the selected channels",
    "centralized": "the server trains them on samples of its own",
}
SERVER_LR = 0.01  # the paper's on CIFAR
INDEX_BYTES = 4  # of a channel's index in the message to each client


@dataclass(frozen=True)
class AblationChannelSettings(TrainingSettings):
    """Settings of ablation-channel unlearning."""

    mode: str = option("decentralized", f"Where training takes place: {', '.join(MODES)}.")
    delta: float = option(0.05, "Share of each layer's channels to update.")
    channel: str = option("filter", f"Weights that form a channel: {', '.join(PARTS)}.")
    selection: str = option(
        "important",
        f"Selected channels: {', '.join(ALL_SELECTIONS)}; all but "
        "the first are controls, those with output-unit for classes.",
    )
    probe: int = option(
        1000, "Largest number of examples of the forget set used to measure channel effects."
    )
    redraw: bool = option(False, "Draw new random labels in every round.")
    server_samples: int = option(1600, "Largest number of the server's samples, mode centralized.")
    server_batch: int = option(64, "Samples per step of the server, mode centralized.")

    works_by_rounds: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        for name, known in (("mode", MODES), ("channel", PARTS), ("selection", ALL_SELECTIONS)):
            choose(name, getattr(self, name), dict.fromkeys(known))
        require_real("delta", self.delta, lambda d: 0 < d <= 1, "a share > 0, at most 1")
        for name in ("probe", "server_samples", "server_batch"):
            require_whole(name, getattr(self, name), 1, NUMBER)
        unused = {
            "decentralized": {"server_samples": 1600, "server_batch": 64},
            "centralized": {"recovery_epochs": None},
        }
        for name, default in unused[self.mode].items():
            value = getattr(self, name)
            refuse(name, value, value == default, f"with mode {self.mode}")


def plan(task: UnlearningTask, own: AblationChannelSettings) -> Plan:
    """Plan ablation-channel unlearning: train only the channels that affect the forget set most.

    Deviation: the paper forgets classes; clients and single examples are an extension that takes
    the same steps. Wrong labels are never forgotten classes.

    Reference:
        Xu et al., "Update Selective Parameters: Federated Machine Unlearning Based on Model
        Explanation".
    """
    return _centralized(task) if own.mode == "centralized" else _decentralized(task)


def _decentralized(task: UnlearningTask) -> Plan:
    """Plan DE: every client trains, on the retain set and on the forget set with wrong labels.

    Its rounds are not kept: partial updates carry no information on the rest of the network for a
    later method.

    Deviation: with `redraw` wrong labels are drawn again in every round, not in every local epoch.
    """
    federation, training = task.source.remaining, task.training
    held = federation.held(task.source.rounds)
    effects, chosen, movable = _select_channels(task, held, task.forgotten_here)
    trainable = _trainable(task, movable)
    perturbed = _perturb(task, federation, held)

    def cohort(number: int) -> Cohort:
        return perturbed(number).cohort(task.source.rounds + number, seed=task.seed)

    def rounds_by(keep: Callable | None) -> Callable:
        return partial_rounds_of(
            perturbed(1),
            task.source.model,
            task.source.state.weights,
            movable=movable,
            training=training,
            seed=task.seed,
        )

    index = INDEX_BYTES * sum(map(len, chosen.values())) * len(federation.clients.present)
    return _plan(
        task,
        training,
        effects,
        chosen,
        trainable,
        rounds_by=rounds_by,
        cohort=cohort,
        entries=trainable,
        cost=Cost(bytes_down=index),
        examples=int(task.forgotten_here.sum()),
        samples=len(held.labels),
        index_bytes=index,
    )


def _centralized(task: UnlearningTask) -> Plan:
    """Plan CE: the server trains on its own samples; a round is one epoch."""
    samples, settings = server_samples(task), task.own
    effects, chosen, movable = _select_channels(task, samples.examples, samples.forgotten)
    optimizer = settings.recovery_optimizer or "sgd"
    training = ClientTraining(
        optimizer,
        settings.recovery_lr or ADAPTIVE.get(optimizer, SERVER_LR),
        local_epochs=1,
        batch_size=settings.server_batch,
    )
    no_clients = task.source.remaining.cohort(task.source.rounds + 1, np.zeros(0, int))

    def rounds_by(keep: Callable | None) -> Callable:
        engine = partial_rounds_of(
            task.source.remaining,
            task.source.model,
            task.source.state.weights,
            movable=movable,
            training=training,
            seed=task.seed,
            on_server=True,
        )

        def run_round(state, cohort):
            labels = samples.examples.labels.copy()
            labels[samples.forgotten] = _wrong_labels(
                task, samples.examples, samples.forgotten, cohort.round_number
            )
            examples = samples.examples.with_labels(labels)
            return engine(state, Cohort(cohort.round_number, np.array([0]), examples, np.ones(1)))

        return run_round

    def cohort(number: int) -> Cohort:
        return dataclasses.replace(no_clients, round_number=number)

    return _plan(
        task,
        training,
        effects,
        chosen,
        _trainable(task, movable),
        rounds_by=rounds_by,
        cohort=cohort,
        entries=0,
        remote=False,
        examples=int(samples.forgotten.sum()),
        samples=len(samples.examples.labels),
        origin=samples.origin,
    )


def _select_channels(
    task: UnlearningTask, held: ClientSet, forgotten: np.ndarray
) -> tuple[ChannelEffects, dict[str, np.ndarray], list[np.ndarray]]:
    """Return the channel effects on a probe of the forget set, the channels selected by them,
    and masks of these channels' weight entries."""
    settings, model, weights = task.own, task.source.model, task.source.state.weights
    model.set_weights(weights)
    rows = at_most(np.flatnonzero(forgotten), settings.probe, generator(task.seed, "probe"))
    effects = channel_effects(
        model, held.features[rows], held.labels[rows], parts=settings.channel, track=task.track
    )
    chosen = select_channels(
        effects,
        settings.delta,
        selection=settings.selection,
        rng=generator(task.seed, "random channels"),
        output_units=task.forgotten_classes if task.classes_only else (),
    )
    return (
        effects,
        chosen,
        masks_of(
            channel_layers(model, settings.channel), chosen, [weight.shape for weight in weights]
        ),
    )


def _trainable(task: UnlearningTask, movable: list[np.ndarray]) -> int:
    """Return the number of movable entries that are trained."""
    return sum(
        int(mask.sum())
        for mask, weight in zip(movable, task.source.model.weights)
        if weight.trainable
    )


def _wrong_labels(
    task: UnlearningTask, held: ClientSet, forgotten: np.ndarray, number: int
) -> np.ndarray:
    """Return the forgotten examples' wrong labels in a round, in the order of the examples."""
    gone, labels = [*task.forgotten_classes, *task.earlier_classes], held.labels.copy()
    for client in held.present:
        rows = np.arange(len(labels))[held.rows(client)]
        rows = rows[forgotten[rows]]
        draw = (int(client), number) if task.own.redraw else (int(client),)
        labels[rows] = wrong_labels(
            labels[rows],
            classes=task.source.federation.data.classes,
            forgotten=gone,
            rng=generator(task.seed, "wrong labels", *draw),
        )
    return labels[forgotten]


def _perturb(task: UnlearningTask, federation: Federation, held: ClientSet) -> Callable:
    """Return `round -> federation` in which the forget set has wrong labels and its images as
    held by the clients; removed clients no longer attack."""
    mask = task.forgotten_here

    @functools.lru_cache(maxsize=1)
    def of(number: int) -> Federation:
        return federation.with_examples(
            mask,
            held.features[mask],
            _wrong_labels(task, held, mask, number),
            task.remaining.malicious,
        ).undefended()

    return of if task.own.redraw else lambda number: of(0)


def _plan(
    task: UnlearningTask,
    training: ClientTraining,
    effects: ChannelEffects,
    chosen: dict[str, np.ndarray],
    trainable: int,
    *,
    examples: int,
    samples: int,
    origin: str | None = None,
    index_bytes: int = 0,
    **more,
) -> Plan:
    """Return the plan with its report."""
    settings = task.own
    kinds = sorted({word.partition(":")[0] for word in task.settings.forget} - {"class"})
    report = dict(
        mode=settings.mode,
        selection=settings.selection,
        delta=settings.delta,
        channel=settings.channel,
        extension=kinds or None,
        samples=samples,
        origin=origin,
        training=dataclasses.asdict(training),
        entries=trainable,
        of=task.parameters,
        index_bytes=index_bytes,
        selected={name: [int(j) for j in channels] for name, channels in chosen.items()},
        channels={name: len(effect) for name, effect in effects.items()},
        probe=dict(
            examples=effects.examples,
            accuracy=effects.accuracy,
            resolution=effects.resolution,
            undecided=undecided_layers(effects, settings.delta, selection=settings.selection),
        ),
        perturbation=dict(examples=examples, seed=task.seed, redraw=settings.redraw),
    )
    return Plan(
        task.source.state.weights,
        task.recovery_rounds,
        settings.stop_rule,
        training,
        report=report,
        **more,
    )


def infeasible_reason(task: UnlearningTask, waits: bool) -> str | None:
    try:
        channel_layers(Graph.of(task.source.model))
    except UserError as error:
        return str(error).partition(";")[0]
    classes = task.source.federation.data.classes
    stay = np.setdiff1d(range(classes), [*task.forgotten_classes, *task.earlier_classes])
    if len(stay) == 1 and (task.leaving.clients.labels == stay[0]).any():
        return "the only class that remains is the label of some forgotten examples"
    return None


def describe(report: dict) -> list[str]:
    chosen, layers = sum(map(len, report["selected"].values())), len(report["channels"])
    samples = report["samples"]
    return [
        report["mode"],
        f"{report['selection']} channels, {chosen} of "
        f"{sum(report['channels'].values())} in {layers} layer{'s' * (layers != 1)}: "
        f"{report['entries']:,} of {report['of']:,} weights",
        f"{samples:,} sample{'s' * (samples != 1)}"
        + (f" {report['origin']}" if report["origin"] else ""),
    ]


def remarks(report: dict) -> list[str]:
    lines, examples = [], report["perturbation"]["examples"]
    if report["extension"]:
        lines.append(
            "extension the paper forgets whole classes; "
            f"{', '.join(report['extension'])}: by the same steps"
        )
    return [
        *lines,
        f"keeps     {examples:,} example{'s' * (examples != 1)} to be forgotten stay in "
        "use, wrongly labelled, until the last round",
    ]


ABLATION_CHANNEL = UnlearningMethod(
    name="ablation-channel",
    summary="trains the channels with the largest effect on the forget set, with random labels for "
    "it",
    paper='Xu et al., "Update Selective Parameters: Federated Machine Unlearning Based on Model '
    'Explanation"',
    settings=AblationChannelSettings,
    plan=plan,
    default_for="classes",
    infeasible_reason=infeasible_reason,
    describe=describe,
    remarks=remarks,
    milder=milder_setting("recovery_lr", 0.1),
)

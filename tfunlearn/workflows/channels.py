"""Effect of each channel of a run's model on the forget set and on the retain set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.files import write_csv
from tfunlearn.core.seeds import at_most, generator
from tfunlearn.methods.ablation_channel import ABLATION_CHANNEL
from tfunlearn.methods.settings import unlearn_settings
from tfunlearn.methods.source import open_source
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.pruning.channels import channel_layers, named_layers, without_channels
from tfunlearn.unlearning import SELECTIONS, ChannelEffects, channel_effects, select_channels
from tfunlearn.workflows.unlearn.workflow import measures_of, task_of


@dataclass(frozen=True)
class AblatedLayer:
    """Accuracies with some channels of one layer zeroed, without training.

    Attributes:
        layer: name of the layer; empty for the unchanged model.
        selection: selection of the zeroed channels, `"original"` for none.
        forget, remain: accuracy; on test images if whole classes are forgotten, else on training
            data.
    """

    layer: str
    selection: str
    forget: float | None
    remain: float | None


@dataclass(frozen=True)
class ChannelStudy:
    """Effects of every channel.

    Attributes:
        forget: effects on the forget set.
        remain: effects on the retain set.
        chosen: layer name to the channels of largest effect, the share `delta` of them.
        pruned: the study of Table 3, empty if it was not asked for.
    """

    forget: ChannelEffects
    remain: ChannelEffects
    chosen: dict[str, np.ndarray]
    pruned: list[AblatedLayer]


def study_channels(
    run: str | os.PathLike,
    forget: Sequence[str],
    *,
    delta: float = 0.3,
    channel: str = "filter",
    layers: Sequence[str] | None = None,
    probe: int = 1000,
    prune: bool = False,
    data_dir: str | None = None,
    track: Callable[[Sequence], Iterable] = iter,
) -> ChannelStudy:
    """Measure the effect of every channel of a run's model; nothing is written.

    Args:
        run: the run directory, of `train` or of `unlearn`.
        forget: terms of a request, such as `"class:1"`.
        delta: share of a layer's channels; default 0.3, as in the paper's pruning study.
        channel: `"filter"` (default) or `"filter+bn"`.
        layers: names of the layers; default every Conv and Dense layer.
        probe: maximum number of examples of either set; default 1000.
        prune: whether to measure each layer also with its important, random and unimportant
            channels zeroed; default False.
        data_dir: folder of the data set; default the one in the run's configuration.
        track: wraps the sequences of steps, to show progress.

    Raises:
        UserError: there is no run, the request cannot be met, a layer is unknown, or a setting is
            out of range.

    Reference:
        Xu et al., "Update Selective Parameters: Federated Machine Unlearning Based on Model
        Explanation", Figure 6 and Table 3.
    """
    settings = unlearn_settings(
        method=ABLATION_CHANNEL.name,
        forget=list(forget),
        delta=delta,
        channel=channel,
        probe=probe,
        reference=False,
    )
    task = task_of(open_source(run, data_dir), settings)
    source, model = task.source, task.source.model
    named_layers(channel_layers(model, channel), layers)
    held = source.remaining.held(source.rounds)
    effects = []
    for purpose, rows in (
        ("probe", task.forgotten_here),
        ("remaining probe", ~task.forgotten_here),
    ):
        rows = at_most(np.flatnonzero(rows), probe, generator(task.seed, purpose))
        effects.append(
            channel_effects(
                model,
                held.features[rows],
                held.labels[rows],
                parts=channel,
                layers=layers,
                track=track,
            )
        )
    pruned = _prune_layers(task, effects[0], track) if prune else []
    return ChannelStudy(effects[0], effects[1], select_channels(effects[0], delta), pruned)


def _prune_layers(
    task: UnlearningTask, effects: ChannelEffects, track: Callable
) -> list[AblatedLayer]:
    """Return the accuracies of the model with channels zeroed, layer by layer."""
    settings, weights, measure = task.own, task.source.state.weights, measures_of(task)
    layers = channel_layers(task.source.model, settings.channel)
    steps = [
        ("", "original"),
        *(
            (name, selection)
            for name in effects
            for selection in ("random", "unimportant", "important")
        ),
    ]
    assert set(SELECTIONS) == {selection for _, selection in steps[1:]}
    found = []
    for layer, selection in track(steps):
        chosen = {}
        if layer:
            chosen[layer] = select_channels(
                effects,
                settings.delta,
                selection=selection,
                rng=generator(task.seed, "random channels"),
            )[layer]
        values = measure(without_channels(weights, layers, chosen))
        part = "test_accuracy" if values["forget_test_accuracy"] is not None else "accuracy"
        found.append(
            AblatedLayer(layer, selection, values[f"forget_{part}"], values[f"remain_{part}"])
        )
    task.source.model.set_weights(weights)
    return found


def write_effects(path: str | os.PathLike, study: ChannelStudy) -> None:
    """Write the effects as CSV: layer, channel, effect and loss increase on the forget set and on
    the retain set, and whether the channel is selected.

    Raises:
        OSError: the file exists or cannot be written.
    """
    head = (
        "layer",
        "channel",
        "forget_effect",
        "forget_loss",
        "remain_effect",
        "remain_loss",
        "selected",
    )
    write_csv(
        path,
        head,
        (
            (
                name,
                channel,
                effect[channel],
                study.forget.losses[name][channel],
                study.remain[name][channel],
                study.remain.losses[name][channel],
                int(channel in study.chosen[name]),
            )
            for name, effect in study.forget.items()
            for channel in range(len(effect))
        ),
    )

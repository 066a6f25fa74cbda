"""Which channels of each layer are updated: those that matter most for what is to be forgotten."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import choose, require, require_real
from tfunlearn.pruning.counting import count_of
from tfunlearn.unlearning.channel_effects import ChannelEffects

COARSE = 0.01  # effects that come in larger steps hardly tell channels apart


def important(ranking: np.ndarray, count: int, rng=None) -> np.ndarray:
    """Returns the channels of largest effect, the largest first."""
    return ranking[:count]


def unimportant(ranking: np.ndarray, count: int, rng=None) -> np.ndarray:
    """Returns the channels of least effect, the least first: a control."""
    return ranking[::-1][:count]


def random(ranking: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns random channels: the control that the paper calls DE-Random."""
    return rng.permutation(len(ranking))[:count]


SELECTIONS = {"important": important, "random": random, "unimportant": unimportant}
OUTPUT_UNIT, RANDOM_AND_OUTPUT = "output-unit", "random+output-unit"
ALL_SELECTIONS = (*SELECTIONS, OUTPUT_UNIT, RANDOM_AND_OUTPUT)


def select_channels(
    effects: ChannelEffects, delta: float = 0.05, *, selection: str = "important",
    rng: np.random.Generator | None = None, output_units: Sequence[int] = (),
) -> dict[str, np.ndarray]:
    """Returns the channels of each layer that unlearning updates.

        count[l] = max(1, ceil(delta * channels[l]))

    Args:
        effects: as `channel_effects` gives them.
        delta: share of each layer's channels, in (0, 1]; default 0.05.
        selection: `"important"` (default); or a control: `"random"`, `"unimportant"`,
            `"output-unit"` (the forgotten classes' own units of the last layer and nothing else)
            or `"random+output-unit"` (random channels, and these units).
        rng: for random channels.
        output_units: the forgotten classes, for the selections that name their units; the last
            layer of `effects` must have a channel for each class.

    Returns:
        Layer name to channels, int64, largest effect first; equal effects are ordered by
        `ChannelEffects.ranked`.

    Raises:
        UserError: `delta` or `selection` is not allowed, or there is no such output unit.

    Warns:
        UserWarning: effects come in steps of more than 0.01, since the probe is small, and in some
            layer equal ones had to be told apart by the loss.

    Reference:
        Xu et al., "Update Selective Parameters: Federated Machine Unlearning Based on Model
        Explanation". Deviation: its pseudo-code sorts from small to large and takes the first
        ones; text, definition and case study mean the channels of largest effect, as here.
    """
    require_real("delta", delta, lambda d: 0 < d <= 1, "a share > 0, at most 1")
    choose("selection", selection, dict.fromkeys(ALL_SELECTIONS))
    if selection in ("random", RANDOM_AND_OUTPUT) and rng is None:
        raise ValueError("random channels need rng")
    own = _output_units(effects, selection, output_units)
    if selection == OUTPUT_UNIT:
        return {name: own if name == list(effects)[-1] else np.zeros(0, np.int64)
                for name in effects}
    if selection == RANDOM_AND_OUTPUT:
        chosen = select_channels(effects, delta, selection="random", rng=rng)
        last = list(effects)[-1]
        chosen[last] = np.concatenate([own, np.setdiff1d(chosen[last], own)])
        return chosen
    pick = SELECTIONS[selection]
    undecided = undecided_layers(effects, delta, selection=selection)
    if effects.resolution > COARSE and undecided:
        warnings.warn(
            f"probe: {effects.examples} examples tell effects apart in steps of "
            f"{effects.resolution:.3g}; in {len(undecided)} of {len(effects)} layers the loss "
            "decided between equal ones", stacklevel=2)
    return {name: pick(effects.ranked(name), count_of(len(effects[name]), delta), rng)
            for name in effects}


def _output_units(
    effects: ChannelEffects, selection: str, classes: Sequence[int]
) -> np.ndarray:
    """Returns the units of the last layer that a selection names, int64; none if it names none."""
    if selection not in (OUTPUT_UNIT, RANDOM_AND_OUTPUT):
        return np.zeros(0, np.int64)
    units = len(effects[list(effects)[-1]])
    require("selection", selection, len(classes) > 0 and max(classes) < units,
            "important, random or unimportant where no class is forgotten, or the last layer has "
            "no unit for it")
    return np.unique(np.asarray(classes, np.int64))


def undecided_layers(
    effects: ChannelEffects, delta: float, *, selection: str = "important"
) -> list[str]:
    """Returns the layers whose selection the tie rule decided: the effects of the last channel
    taken and the first one left are equal. Random channels are never decided by it."""
    if selection not in ("important", "unimportant"):
        return []
    found = []
    for name, effect in effects.items():
        ordered = effect[SELECTIONS[selection](effects.ranked(name), len(effect))]
        count = count_of(len(effect), delta)
        if count < len(effect) and ordered[count - 1] == ordered[count]:
            found.append(name)
    return found

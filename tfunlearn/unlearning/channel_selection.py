"""Selection of the channels that unlearning updates: those with most effect on the forget set."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from tfunlearn.core.errors import choose, require, require_real
from tfunlearn.pruning.counting import count_of
from tfunlearn.unlearning.channel_effects import ChannelEffects

COARSE = 0.01  # effects with a coarser resolution hardly distinguish channels


def important(ranking: np.ndarray, count: int, rng=None) -> np.ndarray:
    """Return the channels of largest effect, the largest first."""
    return ranking[:count]


def unimportant(ranking: np.ndarray, count: int, rng=None) -> np.ndarray:
    """Return the channels of smallest effect, the smallest first: a control."""
    return ranking[::-1][:count]


def random(ranking: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return random channels: the control named DE-Random in the paper."""
    return rng.permutation(len(ranking))[:count]


SELECTIONS = {"important": important, "random": random, "unimportant": unimportant}
OUTPUT_UNIT, RANDOM_AND_OUTPUT = "output-unit", "random+output-unit"
ALL_SELECTIONS = (*SELECTIONS, OUTPUT_UNIT, RANDOM_AND_OUTPUT)


def select_channels(
    effects: ChannelEffects,
    delta: float = 0.05,
    *,
    selection: str = "important",
    rng: np.random.Generator | None = None,
    output_units: Sequence[int] = (),
) -> dict[str, np.ndarray]:
    """Return the channels of each layer that unlearning updates.

        count[l] = max(1, ceil(delta * channels[l]))

    Args:
        effects: as returned by `channel_effects`.
        delta: share of each layer's channels, in (0, 1]; default 0.05.
        selection: `"important"` (default), or a control: `"random"`, `"unimportant"`,
            `"output-unit"` (only the units of the forgotten classes in the last layer) or
            `"random+output-unit"` (random channels and these units).
        rng: generator, required for random channels.
        output_units: the forgotten classes, for the selections that use output units; the last
            layer of `effects` must have a channel for each class.

    Returns:
        Layer name to channels, int64; `"important"` sorts by decreasing effect, with ties as in
        `ChannelEffects.ranked`.

    Raises:
        UserError: an invalid `delta` or `selection`, or a class without an output unit.
        ValueError: random channels without `rng`.

    Warns:
        UserWarning: the resolution of the effects is coarser than 0.01, since the probe is small,
            and in some layer the loss decided between channels of equal effect.

    Reference:
        Xu et al., "Update Selective Parameters: Federated Machine Unlearning Based on Model
        Explanation". Deviation: its pseudo-code sorts in ascending order and takes the first
        channels; text, definition and case study mean the channels of largest effect, as here.
    """
    require_real("delta", delta, lambda d: 0 < d <= 1, "a share > 0, at most 1")
    choose("selection", selection, dict.fromkeys(ALL_SELECTIONS))
    if selection in ("random", RANDOM_AND_OUTPUT) and rng is None:
        raise ValueError("random channels need rng")
    own = _output_units(effects, selection, output_units)
    if selection == OUTPUT_UNIT:
        return {
            name: own if name == list(effects)[-1] else np.zeros(0, np.int64) for name in effects
        }
    if selection == RANDOM_AND_OUTPUT:
        chosen = select_channels(effects, delta, selection="random", rng=rng)
        last = list(effects)[-1]
        chosen[last] = np.concatenate([own, np.setdiff1d(chosen[last], own)])
        return chosen
    pick = SELECTIONS[selection]
    undecided = undecided_layers(effects, delta, selection=selection)
    if effects.resolution > COARSE and undecided:
        warnings.warn(
            f"probe: effects of {effects.examples} examples are multiples of "
            f"{effects.resolution:.3g}; in {len(undecided)} of {len(effects)} layers ties were "
            "broken by the loss",
            stacklevel=2,
        )
    return {
        name: pick(effects.ranked(name), count_of(len(effects[name]), delta), rng)
        for name in effects
    }


def _output_units(effects: ChannelEffects, selection: str, classes: Sequence[int]) -> np.ndarray:
    """Return the output units that a selection includes, int64; empty for other selections."""
    if selection not in (OUTPUT_UNIT, RANDOM_AND_OUTPUT):
        return np.zeros(0, np.int64)
    units = len(effects[list(effects)[-1]])
    require(
        "selection",
        selection,
        len(classes) > 0 and max(classes) < units,
        "important, random or unimportant where no class is forgotten, or the last layer has "
        "no unit for it",
    )
    return np.unique(np.asarray(classes, np.int64))


def undecided_layers(
    effects: ChannelEffects, delta: float, *, selection: str = "important"
) -> list[str]:
    """Return the layers whose selection was decided by the tie-breaking rule.

    In these layers, the last selected and the first unselected channel have equal effects. There
    are none for random channels or output units.
    """
    if selection not in ("important", "unimportant"):
        return []
    found = []
    for name, effect in effects.items():
        ordered = effect[SELECTIONS[selection](effects.ranked(name), len(effect))]
        count = count_of(len(effect), delta)
        if count < len(effect) and ordered[count - 1] == ordered[count]:
            found.append(name)
    return found

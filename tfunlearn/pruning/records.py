"""Results of a pruning call per layer, as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class FilterRecord:
    """Filters pruned in one convolution.

    Attributes:
        layer: name of the layer.
        filters: number of filters in the layer.
        pruned: indices of the filters zeroed by this call, smallest norm first.
        norms: their L1 norms before the call.
        zeroed: number of all-zero filters after the call, including earlier calls.
        skipped: reason why the layer was not pruned, or None.
        spared: number of filters that were due but kept because of `limit`.
    """

    layer: str
    filters: int
    pruned: tuple[int, ...] = ()
    norms: tuple[float, ...] = ()
    zeroed: int = 0
    skipped: str | None = None
    spared: int = 0


@dataclass(frozen=True)
class Pair:
    """Two units of a Dense layer: `removed` is pruned, `kept` receives its outgoing weights.

    Attributes:
        kept: index of the unit that stays.
        removed: index of the unit that is pruned.
        saliency: distance of the two units, weighted by the scored unit's outgoing weights.
        l1: sum of the widths of the impact intervals of all outputs; None if not computed.
        entropy: entropy of the impact intervals over the outputs; None if not computed.
        score: value by which pairs are chosen, lowest first.
        chosen: whether the pair was pruned.
    """

    kept: int
    removed: int
    saliency: float
    l1: float | None = None
    entropy: float | None = None
    score: float | None = None
    chosen: bool = True


@dataclass(frozen=True)
class PairRecord:
    """Unit pairs pruned in one Dense layer.

    Attributes:
        layer: name of the layer.
        units: number of units in the layer.
        candidates: the pairs considered, lowest saliency first.
        zero_incoming: whether the incoming weights of removed units are zeroed too.
        bound: upper bound on the change of any output for any input in the range, in exact
            arithmetic; None if not computed.
        skipped: reason why the layer was not pruned, or None.
        spared: number of pairs that were due but kept because of `limit`.
        score: criterion by which pairs were chosen, `"impact"` or `"saliency"`; None if skipped.
    """

    layer: str
    units: int
    candidates: tuple[Pair, ...] = ()
    zero_incoming: bool = True
    bound: float | None = None
    skipped: str | None = None
    spared: int = 0
    score: str | None = None

    @property
    def chosen(self) -> tuple[Pair, ...]:
        """The pairs pruned by this call."""
        return tuple(pair for pair in self.candidates if pair.chosen)

    @property
    def kept(self) -> tuple[int, ...]:
        """Indices of the units that received the weights of `removed`, in the same order."""
        return tuple(pair.kept for pair in self.chosen)

    @property
    def removed(self) -> tuple[int, ...]:
        """Indices of the units removed by this call."""
        return tuple(pair.removed for pair in self.chosen)


Record = FilterRecord | PairRecord


def as_json(records: Mapping[str, Record]) -> dict[str, dict]:
    """Return the records as JSON values (dicts, lists, numbers), for a metrics file."""
    return json.loads(json.dumps({name: asdict(record) for name, record in records.items()}))

"""What a pruning call did, layer by layer, as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class FilterRecord:
    """Filters pruned in one convolution.

    Attributes:
        layer: name of the layer.
        filters: number of filters it has.
        pruned: indices of the filters zeroed by this call, least norm first.
        norms: their l1 norms before the call.
        zeroed: filters that are all zero after the call, earlier calls included.
        skipped: why the layer was left alone, or None.
        spared: filters that were due and stay, since the layer may lose no more (`limit`).
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
    """Two units of a Dense layer: `removed` goes, `kept` takes over its outgoing weights.

    Attributes:
        kept: the unit that stays.
        removed: the unit that goes.
        saliency: how unlike they are, weighted by what the scored unit sends on.
        l1: sum of the widths of the impact intervals of all outputs; None if not asked for.
        entropy: how the outputs differ in their impact; None if not asked for.
        score: what the choice went by, lowest first.
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
        units: number of units it has.
        candidates: the pairs considered, lowest saliency first.
        zero_incoming: whether the incoming weights of removed units are zeroed too.
        bound: no output can move by more than this for any input in the range, in exact
            arithmetic; None where it was not worked out.
        skipped: why the layer was left alone, or None.
        spared: pairs that were due and stay, since the layer may lose no more (`limit`).
        score: what pairs were chosen by, `"impact"` or `"saliency"`; None if skipped.
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
        """The pairs that this call pruned."""
        return tuple(pair for pair in self.candidates if pair.chosen)

    @property
    def kept(self) -> tuple[int, ...]:
        """Indices of the units that took over for those removed, in the same order."""
        return tuple(pair.kept for pair in self.chosen)

    @property
    def removed(self) -> tuple[int, ...]:
        """Indices of the units that this call removed."""
        return tuple(pair.removed for pair in self.chosen)


Record = FilterRecord | PairRecord


def as_json(records: Mapping[str, Record]) -> dict[str, dict]:
    """Returns the records as JSON values (dicts, lists, numbers), for a metrics file."""
    return json.loads(json.dumps({name: asdict(record) for name, record in records.items()}))

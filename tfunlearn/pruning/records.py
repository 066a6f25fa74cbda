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
    """

    layer: str
    filters: int
    pruned: tuple[int, ...] = ()
    norms: tuple[float, ...] = ()
    zeroed: int = 0
    skipped: str | None = None


@dataclass(frozen=True)
class Pair:
    """Two units of a Dense layer: `removed` goes, `kept` takes over its outgoing weights."""

    kept: int
    removed: int
    saliency: float
    chosen: bool = True


@dataclass(frozen=True)
class PairRecord:
    """Unit pairs pruned in one Dense layer.

    Attributes:
        layer: name of the layer.
        units: number of units it has.
        candidates: the pairs considered, lowest saliency first.
        skipped: why the layer was left alone, or None.
    """

    layer: str
    units: int
    candidates: tuple[Pair, ...] = ()
    skipped: str | None = None

    @property
    def removed(self) -> tuple[int, ...]:
        """Indices of the units that this call removed."""
        return tuple(pair.removed for pair in self.candidates if pair.chosen)


def as_json(records: Mapping[str, FilterRecord | PairRecord]) -> dict[str, dict]:
    """Returns the records as JSON values (dicts, lists, numbers), for a metrics file."""
    return json.loads(json.dumps({name: asdict(record) for name, record in records.items()}))

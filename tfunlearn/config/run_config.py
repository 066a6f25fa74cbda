"""The configuration of a run: a tree of frozen dataclasses, validated once, in one flat file.

Field names are unique over the whole tree, so that the file, the command line and Python share the
same flat names: `attack_start` is a field, a key of the file and the flag `--attack-start`.
Methods define their own fields. `reading` builds a tree from flat fields.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from tfunlearn.aggregation import Aggregator
from tfunlearn.attacks import UpdateAttack
from tfunlearn.config.sections import Section
from tfunlearn.config.threats import AggregationConfig, AttackConfig, DefenseConfig
from tfunlearn.config.training import DataConfig, EngineConfig, ModelConfig, TrainingConfig
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.families import Family, Origin
from tfunlearn.core.fields import fields_of, option
from tfunlearn.core.history import HistoryPolicy
from tfunlearn.core.seeds import integers
from tfunlearn.defenses import Rejection

DEFAULT_VALIDATION = 100


@dataclass(frozen=True)
class RunConfig:
    """All settings that determine a run.

    Attributes:
        kept: fields of methods that are not chosen, as earlier builds wrote them; no effect.
    """

    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    compute: EngineConfig = dataclasses.field(default_factory=EngineConfig)
    attack: AttackConfig = dataclasses.field(default_factory=AttackConfig)
    aggregation: AggregationConfig = dataclasses.field(default_factory=AggregationConfig)
    defense: DefenseConfig = dataclasses.field(default_factory=DefenseConfig)
    seed: int = option(0, "Seed of all random draws.")
    kept: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self):
        require("seed", self.seed, self.seed >= 0, "at least 0")
        self._check_names()
        for field in ("malicious", "participation"):
            self._check_count(field)
        self._check_server_examples()
        self._check_gather()
        if self.data.clients is not None:  # otherwise checked once the writers are counted
            self.aggregator.check(self.participants)
            self._check_attack()
            if self.defense.rejection:
                self.rejection_by(None).check(self.participants)

    @property
    def sections(self) -> tuple[Section, ...]:
        """The sections that name methods."""
        return self.data, self.model, self.attack, self.aggregation, self.defense

    def chosen(self) -> list[tuple[Family, str]]:
        """Return family and name of every method of the run."""
        return [pair for section in self.sections for pair in section.chosen()]

    def origins(self) -> list[tuple[str, Origin]]:
        """Return field and origin of every method that is not built in."""
        found = []
        for family, name in self.chosen():
            origin = family.origin(name)
            if origin is not None:
                found.append((family.field, origin))
        return found

    @property
    def draws(self) -> int:
        """Seed of initial weights, shuffling and client sampling."""
        told = self.training.training_seed
        return self.seed if told is None else told

    @property
    def aggregator(self) -> Aggregator:
        """The aggregation rule with its settings."""
        return self.aggregation.aggregator(int(integers(self.seed, "bucketing")[0]))

    @property
    def needs_server_examples(self) -> str | None:
        """Name of the method that needs examples held by the server, or None."""
        if self.defense.rejection:
            return self.defense.rejection[0].name
        return self.aggregation.rule if self.aggregator.reference == "trusted" else None

    @property
    def server_examples(self) -> int:
        """Number of training examples that the server holds back."""
        asked = self.defense.validation_examples
        if asked is None:
            return DEFAULT_VALIDATION if self.needs_server_examples else 0
        return asked

    @property
    def history(self) -> HistoryPolicy:
        """The rounds to keep.

        Default: the last one if the run is under attack and `gather` is not False, else none.
        """
        told = self.training.history
        attacked = bool(self.attack.attack) and self.attack.malicious > 0
        default = "last" if attacked and self.training.gather is not False else "none"
        return HistoryPolicy.parse(default if told is None else told)

    @property
    def needs_gathering(self) -> str | None:
        """Name of the method or setting that needs every update on the server, or None."""
        attack, aggregator = self.attack.on_updates, self.aggregator
        if attack or self.needs_server_examples:
            return attack[0].name if attack else self.needs_server_examples
        if aggregator.needs_arrays:
            return aggregator.needs_arrays
        outside = [one.name for one, _ in self.defense.on_model if not one.inside_tff]
        return (outside[0] if outside else None) or ("history" if self.history.keeps else None)

    @property
    def gathers(self) -> bool:
        """Whether every update is gathered on the server."""
        if self.training.gather is None:
            return bool(self.needs_gathering) or not self.aggregator.is_plain_mean
        return self.training.gather

    def rejection_by(self, judge) -> Rejection:
        """Return the rejection defense, with `judge` to evaluate steps on the server's examples."""
        assert self.defense.rejection is not None
        method, own = self.defense.rejection
        return Rejection(method.name, self.aggregator, judge, own.reject, own.compat)

    @property
    def update_attack(self) -> tuple[UpdateAttack, Any] | None:
        """The attack on updates with its settings, adapted to the aggregation rule, or None."""
        found = self.attack.on_updates
        if found is None or found[0].against is None:
            return found
        return found[0].against(found[1], self.aggregator.method)

    @property
    def malicious_count(self) -> int:
        """Number of malicious clients; 0 without an attack."""
        if not self.attack.attack:
            return 0
        return _count(self.attack.malicious, self._clients)

    @property
    def participants(self) -> int:
        """Number of clients in a round."""
        return self.participants_of(self._clients)

    @property
    def _clients(self) -> int:
        return cast("int", self.data.clients)  # known once the writers are counted

    def participants_of(self, clients: int) -> int:
        """Return the number of clients in a round of a federation of `clients`."""
        return min(_count(self.training.participation, clients), clients)

    def flat(self) -> dict:
        """Return all fields by flat name, as stored in a file."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in (*leaves(self), *self.kept)
        }

    def _check_names(self) -> None:
        """Check that a flat name stands for one value, so that files preserve the settings."""
        parts = [getattr(self, field.name) for field in dataclasses.fields(self)]
        ours = {
            one.name
            for part in parts
            if dataclasses.is_dataclass(part)
            for one in dataclasses.fields(part)
        } | {field.name for field in dataclasses.fields(self)}
        found: dict[str, tuple[str, Any]] = {}
        for section in self.sections:
            for (family, method), own in zip(section.chosen(), section.own):
                for name in fields_of(type(own)):
                    value = getattr(own, name)
                    if name in ours:
                        raise UserError(
                            f"{family.field}: {method} must have settings of other names than "
                            f"the fields of a run; got {name!r}; rename it"
                        )
                    other, before = found.setdefault(name, (method, value))
                    if (type(before), before) != (type(value), value):
                        raise UserError(
                            f"{name}: must be equal in {other} and {method}, which both have a "
                            f"setting of this name; got {before!r} and {value!r}; give one "
                            "value, or rename a setting"
                        )

    def _check_server_examples(self) -> None:
        need = self.needs_server_examples
        require(
            "validation_examples",
            self.server_examples,
            not need or self.server_examples > 0,
            f"at least 1, since {need} needs examples that the server holds",
        )

    def _check_gather(self) -> None:
        for one, own in self.defense.methods():
            one.check(own, self.gathers)
        require(
            "gather",
            self.training.gather,
            self.training.gather is not False or not self.needs_gathering,
            f"True, since {self.needs_gathering} needs every update",
        )

    def _check_attack(self) -> None:
        """Check that the attack can be crafted, at least in some rounds if clients are sampled."""
        found = self.update_attack
        if found is None or not self.malicious_count:
            return
        attack, own = found
        most = min(self.malicious_count, self.participants)
        least = max(1, most - (self._clients - self.participants))
        reasons = [
            attack.infeasible_reason(self.participants, count, own)
            for count in range(least, most + 1)
        ]
        if all(reasons):
            raise UserError(reasons[-1])

    def _check_count(self, field: str) -> None:
        value = dict(leaves(self))[field]
        clients = self.data.clients
        require(
            field,
            value,
            isinstance(value, float) or clients is None or value <= clients,
            f"at most the number of clients ({clients})",
        )


def leaves(config: RunConfig) -> Iterator[tuple[str, Any]]:
    """Yield every field of the tree with its value."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Section):
            yield from value.leaves()
        elif dataclasses.is_dataclass(value):
            yield from (
                (leaf.name, getattr(value, leaf.name)) for leaf in dataclasses.fields(value)
            )
        elif field.name != "kept":
            yield field.name, value


def _count(value: int | float, clients: int) -> int:
    if isinstance(value, float):
        return min(clients, max(1, math.floor(value * clients + 0.5))) if value else 0
    return value

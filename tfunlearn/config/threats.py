"""Configuration sections of the threat model: attack, aggregation and defense."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tfunlearn.aggregation import EXPECTED_SHARES, PRE_AGGREGATORS, RULES, Aggregator
from tfunlearn.attacks import ATTACKS, BoostAttack, Classes, DataAttack, UpdateAttack
from tfunlearn.config.sections import Section
from tfunlearn.core.errors import choose, refuse, require, require_count_or_fraction
from tfunlearn.core.families import Family
from tfunlearn.core.fields import option
from tfunlearn.core.labels import class_number
from tfunlearn.defenses import DEFENSES, ModelDefense, UpdateDefense

DEFAULT_SOURCE, DEFAULT_TARGET = 1, 7


@dataclass(frozen=True)
class AttackConfig(Section):
    """Attack settings: methods, malicious clients, classes and rounds."""

    families: ClassVar[dict[str, Family]] = {"attack": ATTACKS}

    attack: tuple[str, ...] = option(
        (),
        "Attack of the malicious clients, may be repeated: at most one on data and one on "
        "updates; boost needs one on data.",
    )
    malicious: int | float = option(0.4, "Malicious clients: a count, or a fraction.")
    source: int | str | None = option(
        None,
        "Source class, by name or number: label-flip relabels it, attack success is measured on "
        f"it; none: number {DEFAULT_SOURCE}.",
    )
    target: int | str | None = option(
        None,
        "Target class of label-flip and backdoor, by name or number; none: number "
        f"{DEFAULT_TARGET}, or the first class besides the source where there are fewer.",
    )
    attack_start: int = option(1, "First round of the attack.")
    attack_stop: int | None = option(None, "Last round of the attack; none: the last round.")
    boost: float | None = option(
        None, "Factor of a malicious update; none: 1, with attack boost n / attackers."
    )

    resolved: tuple[int, int] | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        named = " + ".join(self.attack)
        require("attack", named, self.distinct("attack"), "different attacks")
        for kind, what in ((DataAttack, "data"), (UpdateAttack, "updates")):
            require("attack", named, len(self._of(kind)) <= 1, f"at most one attack on {what}")
        require_count_or_fraction("malicious", self.malicious)
        require(
            "boost",
            self.boost,
            self.boost is None or abs(self.boost) <= 1e6,
            "a number from -1e6 to 1e6",
        )
        refuse(
            "boost",
            named if self.boost is None else self.boost,
            not self._of(UpdateAttack) or (self.boost is None and not self._of(BoostAttack)),
            "with an attack on updates; it is for attacks on data",
        )
        require("attack_start", self.attack_start, self.attack_start >= 1, "at least 1")
        require(
            "attack_stop",
            self.attack_stop,
            self.attack_stop is None or self.attack_stop >= self.attack_start,
            f"at least attack_start ({self.attack_start})",
        )
        require(
            "target",
            self.target,
            self.source is None
            or self.source != self.target
            or not any(attack.needs_other_class for attack, _ in self._of(DataAttack)),
            f"a class other than source ({self.source})",
        )

    def _of(self, kind: type) -> list[tuple[Any, Any]]:
        return [(attack, own) for attack, own in self.methods() if isinstance(attack, kind)]

    @property
    def on_data(self) -> tuple[DataAttack, Any] | None:
        """The attack on data with its settings, or None."""
        return next(iter(self._of(DataAttack)), None)

    @property
    def on_updates(self) -> tuple[UpdateAttack, Any] | None:
        """The attack on updates with its settings, or None."""
        return next(iter(self._of(UpdateAttack)), None)

    @property
    def boost_attack(self) -> BoostAttack | None:
        """The attack that scales malicious updates, or None."""
        return next((attack for attack, _ in self._of(BoostAttack)), None)

    @property
    def classes(self) -> Classes:
        """The source and target classes, once `on_classes` has resolved them."""
        assert self.resolved is not None
        return Classes(*self.resolved)

    def on_classes(self, numbers: Mapping[str, int]) -> AttackConfig:
        """Return the section with source and target filled in, and their numbers `resolved`.

        Where classes have names of their own, source and target become names, so that a stored
        configuration means the same when it is read.

        Args:
            numbers: number of each class by its name. Values are looked up as names first.

        Raises:
            UserError: a class that the data do not have.
        """
        source = (
            DEFAULT_SOURCE if self.source is None else class_number("source", self.source, numbers)
        )
        target = self.target
        if target is None:
            others = [number for number in range(len(numbers)) if number != source]
            target = DEFAULT_TARGET if DEFAULT_TARGET in others else others[0]
        else:
            target = class_number("target", target, numbers)
        names = list(numbers)
        plain = names == [str(number) for number in range(len(names))]
        return dataclasses.replace(
            self,
            source=source if plain else names[source],
            target=target if plain else names[target],
            resolved=(source, target),
        )


@dataclass(frozen=True)
class AggregationConfig(Section):
    """Aggregation settings."""

    families: ClassVar[dict[str, Family]] = {"rule": RULES, "before": PRE_AGGREGATORS}

    rule: str = option("mean", "Aggregation rule.")
    byzantine: int | float | str = option(
        0.2,
        "Malicious clients that the server expects in a round, the rules' f: a count, a "
        f"fraction, or {', '.join(EXPECTED_SHARES)} "
        f"({', '.join(map(str, EXPECTED_SHARES.values()))}).",
    )
    before: tuple[str, ...] = option((), "Pre-aggregation step, may be repeated.")
    client_weights: str = option("samples", "Weights of clients in a mean: samples or uniform.")
    strict: bool = option(True, "Refuse rounds with too few clients for the rule; off, warn.")

    def __post_init__(self):
        super().__post_init__()
        choose("client_weights", self.client_weights, dict.fromkeys(("samples", "uniform")))
        self.aggregator()

    def aggregator(self, seed: int = 0) -> Aggregator:
        """Return the rule with its settings; `seed` determines the order in bucketing."""
        settings = {name: value for own in self.own for name, value in vars(own).items()}
        return Aggregator(
            self.rule, self.byzantine, self.before, seed=seed, strict=self.strict, **settings
        )


@dataclass(frozen=True)
class DefenseConfig(Section):
    """Server-side defenses."""

    families: ClassVar[dict[str, Family]] = {"defense": DEFENSES}

    defense: tuple[str, ...] = option((), "Defense, may be repeated.")
    validation_examples: int | None = option(
        None,
        "Training examples held by the server for defenses and rules that need them; none: 100 "
        "if one does.",
    )

    def __post_init__(self):
        super().__post_init__()
        named = " + ".join(self.defense)
        require("defense", named, self.distinct("defense"), "different defenses")
        criteria = [name for one, _ in self._of(UpdateDefense) for name in one.criteria]
        require(
            "defense",
            named,
            len(criteria) == len(set(criteria)),
            "at most one of err, lfr and union; union is err and lfr together",
        )
        require(
            "validation_examples",
            self.validation_examples,
            self.validation_examples is None or self.validation_examples >= 0,
            "at least 0",
        )

    def _of(self, kind: type) -> list[tuple[Any, Any]]:
        return [(one, own) for one, own in self.methods() if isinstance(one, kind)]

    @property
    def rejection(self) -> tuple[UpdateDefense, Any] | None:
        """The defense that rejects updates, with its settings, or None; several of them are
        replaced by the one that has all of their criteria."""
        found = self._of(UpdateDefense)
        if not found:
            return None
        criteria = {name for one, _ in found for name in one.criteria}
        whole = next(
            one
            for one in (*(one for one, _ in found), *DEFENSES.values())
            if isinstance(one, UpdateDefense) and set(one.criteria) == criteria
        )
        return whole, found[0][1]

    @property
    def on_model(self) -> list[tuple[ModelDefense, Any]]:
        """The defenses that change the global model, with their settings."""
        return self._of(ModelDefense)

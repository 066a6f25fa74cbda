"""The sections of a configuration that say who attacks and what the server does about it."""

from __future__ import annotations

from dataclasses import dataclass

from tfunlearn.aggregation import MODES, PRE_AGGREGATORS, RULES, Aggregator
from tfunlearn.attacks import (
    ATTACKS, DATA_ATTACKS, FANG, KNOWLEDGE, POSITIONS, SCALED, SPACES, UPDATE_ATTACKS, Trigger)
from tfunlearn.core.errors import choose, require, require_count_or_fraction
from tfunlearn.defenses import CRITERIA, DEFENSES
from tfunlearn.core.fields import option
from tfunlearn.pruning.pairs import SCORES

KRUM_FAMILY = ("krum", "multi-krum", "bulyan")


@dataclass(frozen=True)
class AttackConfig:
    """Who attacks, how and when."""

    attack: tuple[str, ...] = option(
        (), f"Attack of the malicious clients, may be repeated: {', '.join(ATTACKS)}. At most one "
        "on data and one on updates; boost goes with one on data.")
    malicious: int | float = option(0.4, "Malicious clients: a count, or a fraction.")
    knowledge: str = option("partial", f"What attackers on updates see: {', '.join(KNOWLEDGE)}.")
    source: int = option(1, "Class that label-flip relabels.")
    target: int = option(7, "Class that label-flip and backdoor turn images into.")
    trigger_size: int = option(3, "Height and width of the backdoor's patch.")
    trigger_position: str = option(
        "bottom-right", f"Where the patch lies: {', '.join(POSITIONS)}.")
    trigger_value: float = option(1.0, "Brightness of the patch, 0 (black) to 1 (white).")
    trigger_share: float = option(0.1, "Share of a malicious client's images with the patch.")
    attack_start: int = option(1, "First round of the attack.")
    attack_stop: int | None = option(None, "Last round of the attack; none: the last round.")
    attack_scale: float | None = option(
        None, "Strength: factor of sign-flip (none: 1) and ipm (0.5), deviation of gaussian (1), "
        "z of alie (from n), b of fang-trim (2).")
    attack_space: str = option(
        "model", f"What fang-trim takes its intervals from: {', '.join(SPACES)}.")
    boost: float | None = option(
        None, "Factor of a malicious update; none: 1, with attack boost n / attackers.")

    def __post_init__(self):
        for name in self.attack:
            choose("attack", name, ATTACKS)
        require("attack", " + ".join(self.attack), len(set(self.attack)) == len(self.attack),
                "each once")
        for kind, members in (("data", DATA_ATTACKS), ("updates", (*UPDATE_ATTACKS, FANG))):
            require("attack", " + ".join(self.attack), len(self._among(members)) <= 1,
                    f"at most one attack on {kind}")
        require_count_or_fraction("malicious", self.malicious)
        choose("knowledge", self.knowledge, KNOWLEDGE)
        choose("attack_space", self.attack_space, SPACES)
        require("trigger_share", self.trigger_share, 0 < self.trigger_share <= 1,
                "0 < trigger_share <= 1")
        self.trigger  # checks its fields
        require("boost", self.boost, self.boost is None or abs(self.boost) <= 1e6,
                "a number from -1e6 to 1e6")
        self._check_scale()
        require("attack_start", self.attack_start, self.attack_start >= 1, "at least 1")
        require("attack_stop", self.attack_stop,
                self.attack_stop is None or self.attack_stop >= self.attack_start,
                f"at least attack_start ({self.attack_start})")
        require("target", self.target, "label-flip" not in self.attack
                or self.source != self.target, f"a class other than source ({self.source})")

    def _check_scale(self) -> None:
        scale, update = self.attack_scale, self.on_updates
        require("attack_scale", scale, scale is None or update in (*SCALED, FANG),
                f"nothing with attack {update or 'on data'}; it is for {', '.join(SCALED)}")
        require("attack_scale", scale, scale is None or 0 < scale <= 1e6, "0 < attack_scale <= 1e6")
        require("attack_scale", scale, scale is None or scale > 1
                or update not in ("fang-trim", FANG), "more than 1 with fang-trim")
        require("boost", "with an attack on updates", update is None or (
            self.boost is None and "boost" not in self.attack), "boost with an attack on data")

    def _among(self, members) -> list[str]:
        return [name for name in self.attack if name in members]

    @property
    def on_data(self) -> str | None:
        """The attack on data, if there is one."""
        return next(iter(self._among(DATA_ATTACKS)), None)

    @property
    def on_updates(self) -> str | None:
        """The attack on updates, if there is one."""
        return next(iter(self._among((*UPDATE_ATTACKS, FANG))), None)

    @property
    def trigger(self) -> Trigger:
        """The patch of the backdoor."""
        return Trigger(self.trigger_size, self.trigger_position, self.trigger_value)


@dataclass(frozen=True)
class AggregationConfig:
    """How the server makes one update of many."""

    rule: str = option("mean", f"Aggregation rule: {', '.join(RULES)}.")
    byzantine: int | float | str = option(
        0.2, "Malicious clients that the server expects in a round, the rules' f: a count, a "
        f"fraction, or {', '.join(MODES)} ({', '.join(map(str, MODES.values()))}).")
    before: tuple[str, ...] = option(
        (), f"Step before the rule, may be repeated: {', '.join(PRE_AGGREGATORS)}.")
    selected: int | None = option(None, "Updates that multi-krum averages; none: n - f - 2.")
    clip: float | None = option(None, "Radius of centered-clipping (none: 10), greatest norm of "
                                "norm-bound (none: the median norm).")
    passes: int | None = option(None, "Passes of geometric-median (none: until it stands still), "
                                "rfa (3), centered-clipping (1).")
    noise: float = option(0.0, "Standard deviation of the noise that norm-bound adds.")
    bucket_size: int = option(2, "Updates in a bucket of bucketing.")
    client_weights: str = option("samples", "How much clients count in a mean: samples or uniform.")
    strict: bool = option(True, "Refuse rounds with too few clients for the rule, else warn.")
    compat: str | None = option(None, "flap: the lower median, multi-Krum with unsquared distances "
                                "and a shorter step, ERR and LFR turned round, as in FLAP's "
                                "published code.")

    def __post_init__(self):
        require("compat", self.compat, self.compat in (None, "flap"), "flap")
        choose("client_weights", self.client_weights, dict.fromkeys(("samples", "uniform")))
        require("noise", self.noise, 0 <= self.noise <= 1e6, "0 to 1e6")
        require("passes", self.passes, self.passes is None or 1 <= self.passes <= 1000, "1 to 1000")
        self.aggregator()

    def aggregator(self, seed: int = 0) -> Aggregator:
        """Returns the rule with its settings; `seed` decides the order in bucketing."""
        compat = self.compat if self.rule in ("median", "multi-krum") else None
        return Aggregator(
            self.rule, self.byzantine, self.before, self.selected, self.clip, self.passes,
            self.noise, self.bucket_size, seed, compat, self.strict)


@dataclass(frozen=True)
class DefenseConfig:
    """What else the server does."""

    defense: tuple[str, ...] = option((), f"Defense, may be repeated: {', '.join(DEFENSES)}.")
    reject: int | float | None = option(None, "Clients that err and lfr reject in a round, each: a "
                                        "count, or a fraction; none: as byzantine.")
    validation_examples: int | None = option(
        None, "Training examples that the server holds back for err, lfr, union and fltrust; "
        "none: 100 where one of them is on.")
    prune_fraction: float = option(0.01, "Share of filters and units that flap prunes.")
    prune_start: int = option(1, "First round after which flap prunes.")
    prune_every: int = option(5, "Rounds from one pruning to the next.")
    prune_filters: bool = option(True, "Let flap prune filters of convolutions.")
    prune_pairs: bool = option(True, "Let flap prune pairs of units of Dense layers.")
    prune_progressive: bool = option(
        False, "Let flap pass over filters that are zero already, so that every pruning takes "
        "others; off, they stay in the ranking, as the paper's text has it.")
    prune_limit: float | None = option(
        None, "Largest share of a layer's filters or units that all of flap's prunings together "
        "may take, at least one always stays; none: 0.2, or prune_fraction if that is more.")
    prune_narrow: bool = option(
        False, "Let flap prune layers of fewer than 10 filters or units too, where the one that "
        "goes is more than a tenth; prune_limit holds all the same.")
    prune_score: str | None = option(
        None, f"What flap chooses pairs by: {', '.join(SCORES)}; none: impact where updates are "
        "gathered, saliency inside TFF.")
    include_residual: bool = option(True, "Let flap prune inside residual blocks too.")

    def __post_init__(self):
        for name in self.defense:
            choose("defense", name, DEFENSES)
        require("defense", " + ".join(self.defense), len(set(self.defense)) == len(self.defense),
                "each once")
        chosen = [name for name in self.defense if name in CRITERIA]
        require("defense", " + ".join(self.defense), self._is_one(chosen),
                "err, lfr or union once; err with lfr is the union")
        if self.reject is not None:
            require_count_or_fraction("reject", self.reject)
        require("validation_examples", self.validation_examples,
                self.validation_examples is None or self.validation_examples >= 0, "at least 0")
        require("prune_fraction", self.prune_fraction, 0 < self.prune_fraction < 1,
                "0 < prune_fraction < 1")
        require("prune_limit", self.prune_limit,
                self.prune_limit is None or self.prune_fraction <= self.prune_limit <= 1,
                f"prune_fraction ({self.prune_fraction:g}) to 1")
        require("prune_filters and prune_pairs", False, self.prune_filters or self.prune_pairs,
                "True for at least one of them")
        if self.prune_score is not None:
            choose("prune_score", self.prune_score, SCORES)
        require("prune_start", self.prune_start, self.prune_start >= 1, "at least 1")
        require("prune_every", self.prune_every, self.prune_every >= 1, "at least 1")

    @staticmethod
    def _is_one(chosen: list[str]) -> bool:
        return len(set(chosen)) <= 1 or set(chosen) == {"err", "lfr"}

    @property
    def rejection(self) -> str | None:
        """`"err"`, `"lfr"`, `"union"` (also for both of the former), or None."""
        chosen = {name for name in self.defense if name in CRITERIA}
        return "union" if len(chosen) == 2 else next(iter(chosen), None)

"""A rule with its settings, as a run uses it: on arrays after gathering, on tensors inside TFF."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation.on_arrays import as_stack, demand
from tfunlearn.aggregation.rules import MODES, PRE_AGGREGATORS, RULES, Call
from tfunlearn.aggregation.stacks import finite_stack, tolerated
from tfunlearn.core.errors import (
    choose, require, require_count_or_fraction, require_real, require_whole)


@dataclass(frozen=True)
class Aggregator:
    """An aggregation rule, the steps before it, and all settings.

    Attributes:
        rule: name in `RULES`; default the mean.
        byzantine: malicious clients to withstand in a round, f: a count, a fraction (float) of
            the clients of the round, or FLAP's `"conservative"`, `"perfect"`, `"radical"` for
            0.1, 0.2, 0.3; default 0.2. The mean needs none.
        before: names in `PRE_AGGREGATORS`, in their order; default none.
        selected: rows that multi-krum averages; default n - f - 2.
        clip: radius of centered-clipping (default 10), greatest norm of norm-bound (default the
            median norm).
        passes: of geometric-median (default until it stands still), rfa (default 3),
            centered-clipping (default 1).
        noise: standard deviation of the noise that norm-bound adds; default 0.
        bucket_size: rows in a bucket; default 2.
        seed: decides the order in bucketing; default 0.
        compat: `"flap"`: the lower median, and multi-Krum with unsquared distances per tensor and a
            shorter step, as in FLAP's published code; default none.
        strict: refuse rounds with too few clients for the rule; default True. False warns.
        sizes: entries of the model's tensors, for multi-krum with `compat`; default one tensor.

    Raises:
        UserError: an unknown name, a setting out of range, or one that the rule does not take.
    """

    rule: str = "mean"
    byzantine: int | float | str = 0.2
    before: tuple[str, ...] = ()
    selected: int | None = None
    clip: float | None = None
    passes: int | None = None
    noise: float = 0.0
    bucket_size: int = 2
    seed: int = 0
    compat: str | None = None
    strict: bool = True
    sizes: tuple[int, ...] | None = None

    def __post_init__(self):
        uses = choose("rule", self.rule, RULES).uses
        require("before", self.before, isinstance(self.before, (tuple, list)), "a tuple of names")
        for name in self.before:
            choose("before", name, PRE_AGGREGATORS)
        if isinstance(self.byzantine, str):
            choose("byzantine", self.byzantine, MODES)
        else:
            require_real("byzantine", self.byzantine, lambda value: value >= 0,
                         "a count, a fraction, or one of " + ", ".join(MODES))
            require_count_or_fraction("byzantine", self.byzantine)
        for field, default in (("selected", None), ("clip", None), ("passes", None), ("noise", 0)):
            value = getattr(self, field)
            takers = ", ".join(name for name, rule in RULES.items() if field in rule.uses)
            require(field, value, value == default or field in uses,
                    f"nothing with rule {self.rule}; it is for {takers}")
        for field in ("selected", "passes", "bucket_size"):
            if getattr(self, field) is not None or field == "bucket_size":
                require_whole(field, getattr(self, field), 1)
        require("compat", self.compat, self.compat is None or (
            self.compat == "flap" and "compat" in uses), "'flap', with median or multi-krum")
        require("selected", self.selected, self.selected is None or not self.compat,
                "nothing with compat flap")
        if self.clip is not None:
            require_real("clip", self.clip, lambda value: value > 0, "a number > 0")
        require_real("noise", self.noise, lambda value: value >= 0, "a number >= 0")

    @property
    def reference(self) -> str | None:
        """What the rule needs of the server: `"previous"` aggregate, `"trusted"` update, None."""
        return RULES[self.rule].reference

    def f(self, clients: int) -> int:
        """Returns how many malicious clients of a round's `clients` are to be withstood."""
        value = MODES.get(self.byzantine, self.byzantine)
        return math.floor(value * clients + 1e-9) if isinstance(value, float) else value

    def check(self, clients: int, *, f: int | None = None, field: str = "rule") -> None:
        """Checks that the rule is valid for so many updates.

        Args:
            clients: updates to aggregate, n.
            f: malicious ones among them; default as `byzantine` says.
            field: what the message calls the culprit.

        Raises:
            UserError: n is below what the rule or a step before it needs.
        """
        f, n = self.f(clients) if f is None else f, clients
        chain = [(name, PRE_AGGREGATORS[name], "n >= 2f + 1") for name in self.before]
        for name, step, text in [*chain, (self.rule, RULES[self.rule], RULES[self.rule].condition)]:
            if self.rule == "mean" and name == "mean":
                continue
            demand(n >= step.least(f), f"{field}: {name} with n={n} updates and f={f} malicious "
                   f"ones (byzantine {self.byzantine}) is not allowed; allowed is {text}, here "
                   f"n >= {step.least(f)}", strict=self.strict)
            n = step.rows_left(n, self.bucket_size) if name in self.before else n
        require("selected", self.selected, self.selected is None or self.selected <= n,
                f"at most the number of updates ({n})")

    def __call__(
        self, updates, *, weights=None, dropped: int = 0, reference=None, round_number=1,
        f: int | None = None, rng: np.random.Generator | None = None,
    ):
        """Returns the aggregate of a round.

        Args:
            updates: float32 `(n, d)`, an array or a tensor; rows that are not finite are left out
                and use up one of the f each.
            weights: examples per client `(n,)`; rules that ignore them say so.
            dropped: clients left out already, which use up one of the f each.
            reference: `(d,)`, the aggregate of the round before or the server's own update.
            round_number: decides, with the seed, the order in bucketing.
            f: malicious clients to withstand; default as `byzantine` says.
            rng: generator of the noise.

        Returns:
            float32 `(d,)`.
        """
        if isinstance(updates, (list, tuple)):
            updates = as_stack(updates)
        require("reference", reference, reference is not None or self.reference != "trusted",
                f"the server's own update, with rule {self.rule}")
        if f is None:
            f = self.f(int(updates.shape[0]) + dropped)
        stack = finite_stack(updates, weights=weights)
        rows, weights, f = stack.rows, stack.weights, tolerated(max(f - dropped, 0), stack)
        for name in self.before:
            rows = PRE_AGGREGATORS[name].call(
                rows, f, self.bucket_size, self.seed, round_number, self.strict)
            weights = None  # a mixed row belongs to no single client
        selected = self.selected
        if selected is not None and isinstance(stack.n, int):  # fewer may be left than planned
            selected = min(selected, int(rows.shape[0]))
        return RULES[self.rule].call(rows, Call(
            f, weights, reference, selected, self.clip, self.passes, self.noise, rng, self.compat,
            self.strict, self.sizes))

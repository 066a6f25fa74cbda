"""An aggregation rule with its settings, on arrays after gathering or on tensors inside TFF."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfunlearn.aggregation.on_arrays import as_stack, demand
from tfunlearn.aggregation.rule import (
    EXPECTED_SHARES,
    PRE_AGGREGATORS,
    RULES,
    PreAggregator,
    Round,
    Rule,
)
from tfunlearn.aggregation.stacks import check_f, finite_stack
from tfunlearn.core.errors import choose, refuse, require, require_count_or_fraction, require_real
from tfunlearn.core.families import settings_for
from tfunlearn.core.results import as_array, as_rows


class Aggregator:
    """An aggregation rule, the steps before it, and all settings; it does not change.

    Args:
        rule: a name in `RULES`, a specification, or a rule; default the mean.
        byzantine: number of malicious clients to tolerate in a round, f: a count, a fraction
            (float) of the clients of the round, or FLAP's `"conservative"`, `"perfect"`,
            `"radical"` for 0.1, 0.2, 0.3; default 0.2. The mean needs none.
        before: names in `PRE_AGGREGATORS`, in order; default none.
        seed: decides the order in bucketing; default 0.
        strict: refuse rounds with too few clients for the rule; default True. False warns.
        sizes: entries of each of the model's tensors, for rules that work per tensor; default one
            tensor.
        **settings: own settings of the rule and the steps, such as `clip=1.0`.

    Attributes:
        method: the rule.
        own: its own settings.
        steps: the steps before it, each with its own settings.

    Raises:
        UserError: an unknown name, a setting out of range, or one that the rule does not take.
    """

    def __init__(
        self,
        rule: Any = "mean",
        byzantine: int | float | str = 0.2,
        before: tuple = (),
        *,
        seed: int = 0,
        strict: bool = True,
        sizes: tuple[int, ...] | None = None,
        **settings: Any,
    ):
        require("before", before, isinstance(before, (tuple, list)), "a tuple of names")
        self.rule, self.byzantine = RULES.name_of(rule), byzantine
        self.before = tuple(PRE_AGGREGATORS.name_of(name) for name in before)
        self.seed, self.strict, self.sizes, self.settings = seed, strict, sizes, dict(settings)
        self._check_byzantine()
        chosen = [(RULES, self.rule), *((PRE_AGGREGATORS, name) for name in self.before)]
        unused = {
            **{
                name: value
                for name, value in settings.items()
                if not self.before and name in PRE_AGGREGATORS.built_in_fields()
            }
        }
        for name, value in unused.items():
            refuse(
                name,
                value,
                value == PRE_AGGREGATORS.built_in_fields()[name].default,
                f"without {', '.join(PRE_AGGREGATORS.users(name))}",
            )
        self.own, *steps = settings_for(
            chosen,
            {name: value for name, value in settings.items() if name not in unused},
            as_typed=False,
        )
        self.method: Rule = RULES.find(self.rule)
        self.steps = tuple(
            (PRE_AGGREGATORS.find(name), own) for name, own in zip(self.before, steps)
        )

    def _check_byzantine(self) -> None:
        if isinstance(self.byzantine, str):
            choose("byzantine", self.byzantine, EXPECTED_SHARES)
        else:
            require_real(
                "byzantine",
                self.byzantine,
                lambda value: value >= 0,
                "a count, a fraction, or one of " + ", ".join(EXPECTED_SHARES),
            )
            require_count_or_fraction("byzantine", self.byzantine)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aggregator) and vars(self) == vars(other)

    def __repr__(self) -> str:
        given = {"before": self.before, "seed": self.seed, "strict": self.strict, **self.settings}
        return (
            f"Aggregator({self.rule!r}, {self.byzantine!r}, "
            + ", ".join(f"{name}={value!r}" for name, value in given.items())
            + ")"
        )

    def replace(self, **changes: Any) -> Aggregator:
        """Return the aggregator with other arguments."""
        now: Mapping[str, Any] = dict(
            rule=self.rule,
            byzantine=self.byzantine,
            before=self.before,
            seed=self.seed,
            strict=self.strict,
            sizes=self.sizes,
            **self.settings,
        )
        return Aggregator(**{**now, **changes})

    def without_noise(self) -> Aggregator:
        """Return the aggregator as it is without random noise."""
        quiet = {
            name: value
            for name, value in self.method.noiseless.items()
            if getattr(self.own, name) != value
        }
        return self.replace(**quiet) if quiet else self

    @property
    def reference(self) -> str | None:
        """What the rule needs of the server: `"previous"` aggregate, `"trusted"` update, None."""
        return self.method.reference

    @property
    def is_plain_mean(self) -> bool:
        """Whether it is the weighted mean of the updates, which needs no f, and nothing before."""
        return self.method.is_mean and not self.before

    @property
    def needs_arrays(self) -> str | None:
        """The setting that keeps it from running on tensors, inside TFF, or None."""
        return self.method.needs_arrays(self.own)

    def f(self, clients: int) -> int:
        """Return the number of malicious clients to tolerate of a round's `clients`."""
        value = self.byzantine
        value = EXPECTED_SHARES[value] if isinstance(value, str) else value
        return math.floor(value * clients + 1e-9) if isinstance(value, float) else value

    def check(self, clients: int, *, f: int | None = None, field: str = "rule") -> None:
        """Check that the rule is valid for a number of updates.

        Args:
            clients: updates to aggregate, n.
            f: malicious ones among them; default as `byzantine` says.
            field: field that the message names.

        Raises:
            UserError: n is below what the rule or a step before it needs.
        """
        f, n = self.f(clients) if f is None else f, clients
        for method, own in (*self.steps, (self.method, None)):
            demand(
                n >= method.least(f),
                f"{field}: {method.name} needs {method.condition}, here n >= {method.least(f)}; "
                f"got n={n}, f={f} (byzantine {self.byzantine})",
                strict=self.strict,
            )
            n = method.rows_left(n, own) if isinstance(method, PreAggregator) else n
        selected = getattr(self.own, "selected", None)
        require(
            "selected",
            selected,
            not self.method.selects_neighbors or selected is None or selected <= n,
            f"at most the number of updates ({n})",
        )

    def __call__(
        self,
        updates,
        *,
        weights=None,
        dropped: int = 0,
        reference=None,
        round_number=1,
        f: int | None = None,
        rng: np.random.Generator | None = None,
        model=None,
    ):
        """Return the aggregate of a round.

        Args:
            updates: float32 `(n, d)`, an array or a tensor; non-finite rows are dropped, and each
                uses up one of the f.
            weights: examples per client `(n,)`; rules that ignore them say so.
            dropped: clients that were already dropped, each of which uses up one of the f.
            reference: `(d,)`, the previous aggregate or the server's own update.
            round_number: decides, with the seed, the order in bucketing.
            f: malicious clients to tolerate; default as `byzantine` says.
            rng: random generator of the noise.
            model: the global model at the start of the round, `(d,)`; flame clusters local models.

        Returns:
            float32 `(d,)`.
        """
        if isinstance(updates, (list, tuple)):
            updates = as_stack(updates)
        require(
            "reference",
            reference,
            reference is not None or self.reference != "trusted",
            f"the server's own update, with rule {self.rule}",
        )
        if f is None:
            f = self.f(int(updates.shape[0]) + dropped)
        stack = finite_stack(updates, weights=weights)
        rows, left = stack.rows, check_f(max(f - dropped, 0), stack)
        given = Round(left, stack.weights, reference, rng, self.strict, self.sizes, model)
        for step, own in self.steps:
            rows = step.apply(rows, given, own, self.seed, round_number)
            if isinstance(updates, np.ndarray):
                rows = as_rows(
                    "before",
                    step.name,
                    rows,
                    updates.shape[1],
                    finite=PRE_AGGREGATORS.get(step.name) is not step,
                )
            given = given._replace(weights=None)  # a mixed row belongs to no single client
        found = self.method.apply(rows, given, self.own)
        if not isinstance(updates, np.ndarray):  # a tensor, inside TFF
            return found
        own = self.rule not in RULES
        return as_array("rule", self.method.name, found, updates.shape[1:], finite=own)

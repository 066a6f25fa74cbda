"""Conformance suite of aggregation rules: checks their properties one by one.

It runs on every built-in rule and also accepts third-party aggregators.
"""

from __future__ import annotations

import numpy as np

from tfunlearn.aggregation.rule import RULES, Round
from tfunlearn.conformance.finding import Finding, findings_of
from tfunlearn.conformance.properties import PROPERTIES, RuleUnderTest, gaussian_updates


def our_subject(name: str) -> RuleUnderTest:
    """Return a built-in rule under test, with settings that exercise all of its branches."""
    rule = RULES.find(name)
    settings = dict(rule.tried_with or {})
    given = Round(reference=gaussian_updates(5)[:5].mean(axis=0) if rule.reference else None)

    def call(updates, f):
        return rule(updates, given._replace(f=f), **settings)

    def oracle(updates, f):
        assert rule.oracle is not None
        return np.array(
            rule.oracle(
                updates.astype(float).tolist(), given._replace(f=f), rule.settings(**settings)
            )
        )

    def averages(updates):
        return rule(updates, given, **{**settings, **(rule.averages or {})})

    return RuleUnderTest(
        call,
        rule,
        oracle if rule.oracle is not None else None,
        averages if rule.averages is not None else None,
    )


def check_aggregator(subject: RuleUnderTest) -> list[Finding]:
    """Return a finding for every property.

    The stacks are mostly Gaussian, of shape `(11, 17)` or with more rows where the rule's condition
    requires them, and f is mostly 2. An aggregator that raises fails the property being checked,
    with its error as the detail.
    """
    return findings_of(PROPERTIES, subject)

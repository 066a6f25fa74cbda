"""Conformance suite: checks the properties that an aggregation rule should have, one by one.

It runs on every rule of the contract table and also accepts third-party aggregators.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from tfunlearn.conformance.properties import PROPERTIES, Subject, gaussian_updates, text_of
from tfunlearn.aggregation.rule import RULES, Round


@dataclass(frozen=True)
class Finding:
    """Result of checking one property of one aggregator.

    Attributes:
        name: name of the property.
        passed: whether it holds; None if it was not checked.
        detail: the observation, or the reason why it was not checked.
    """

    name: str
    passed: bool | None
    detail: str = ""


def our_subject(name: str) -> Subject:
    """Return one of this package's rules, with settings that exercise all of its branches."""
    rule = RULES.find(name)
    settings = dict(rule.tried_with or {})
    given = Round(reference=gaussian_updates(5)[:5].mean(axis=0) if rule.reference else None)

    def call(updates, f):
        return rule(updates, given._replace(f=f), **settings)

    def oracle(updates, f):
        return np.array(rule.oracle(updates.astype(float).tolist(), given._replace(f=f),
                                    rule.settings(**settings)))

    def averages(updates):
        return rule(updates, given, **{**settings, **rule.averages})

    return Subject(call, rule, oracle if rule.oracle is not None else None,
                   averages if rule.averages is not None else None)


def check_aggregator(subject: Subject) -> list[Finding]:
    """Return a finding for every property.

    The stacks are mostly Gaussian, of shape `(11, 17)` or with more rows where the rule's condition
    requires them, and f is mostly 2. An aggregator that raises fails the property being checked,
    with its error as the detail.
    """
    findings = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name, check in PROPERTIES.items():
            try:
                passed, detail = check(subject)
            except (Exception, SystemExit, GeneratorExit) as error:  # third-party code
                passed, detail = False, f"raises {type(error).__name__}: {text_of(error)}"[:160]
            findings.append(Finding(name, None if passed is None else bool(passed), detail))
    return findings

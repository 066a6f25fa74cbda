"""The conformance suite: properties that an aggregation rule should have, checked one by one.

For our own rules every row of the contract table goes through it; other people's aggregators can.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from tfunlearn.aggregation.oracles import ORACLES
from tfunlearn.conformance.properties import PROPERTIES, Subject, gaussian_updates, text_of
from tfunlearn.aggregation.rules import RULES, Call


@dataclass(frozen=True)
class Finding:
    """One property of one aggregator.

    Attributes:
        name: the property.
        passed: whether it holds; None where the rule does not promise it.
        detail: what was seen, or why it was not checked.
    """

    name: str
    passed: bool | None
    detail: str = ""


def our_subject(name: str) -> Subject:
    """Returns one of our rules, with settings that reach all of its branches."""
    rule, settings = RULES[name], {}
    if rule.reference:
        settings["reference"] = gaussian_updates(5)[:5].mean(axis=0)
    if "clip" in rule.uses and rule.reference:
        settings["clip"] = 3.0  # shorter than most rows

    def call(updates, f):
        return rule.call(updates, Call(f=f, **settings))

    def oracle(updates, f):
        return np.array(ORACLES[name](updates.astype(float).tolist(), Call(f=f, **settings)))

    def averages(updates):
        return rule.call(updates, Call(**{**settings, **rule.averages}))

    return Subject(call, rule, oracle, averages if rule.averages is not None else None)


def check_aggregator(subject: Subject) -> list[Finding]:
    """Returns a finding for every property.

    The stacks are Gaussian, 11 x 17 and larger where the rule's condition asks for it, f = 2; an
    aggregator that raises fails the property at hand with its error as the detail.
    """
    findings = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name, check in PROPERTIES.items():
            try:
                passed, detail = check(subject)
            except (Exception, SystemExit, GeneratorExit) as error:  # other people's code
                passed, detail = False, f"raises {type(error).__name__}: {text_of(error)}"[:160]
            findings.append(Finding(name, None if passed is None else bool(passed), detail))
    return findings

"""Check of a method by name, built-in or your own, against the contract of its family."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfunlearn.aggregation import Aggregator, PreAggregator, Round, Rule
from tfunlearn.attacks import Attack
from tfunlearn.config.reading import METHOD_FIELDS, fields_by_name
from tfunlearn.conformance.aggregators import check_aggregator
from tfunlearn.conformance.check_aggregator import same_bits_in_tff
from tfunlearn.conformance.contracts import (
    check_attack,
    check_data_set,
    check_defense,
    check_model,
    check_step,
)
from tfunlearn.conformance.detectors import check_detector
from tfunlearn.conformance.families import FAMILIES, family_of
from tfunlearn.conformance.finding import Finding
from tfunlearn.conformance.properties import RuleUnderTest, gaussian_updates
from tfunlearn.conformance.unlearning import check_method
from tfunlearn.core.errors import UserError, choose, require
from tfunlearn.core.families import Family, load_object, settings_for
from tfunlearn.core.fields import fields_of
from tfunlearn.defenses import Defense
from tfunlearn.detection import Detector


def check_named(
    name: str,
    *,
    family: str | None = None,
    settings: Mapping[str, Any] | None = None,
    data_dir: str = "data",
) -> tuple[str, list[Finding]]:
    """Return the family of a method, and the findings of its contract.

    Args:
        name: a built-in name, `package.module:name`, `file.py:name`, or an entry point.
        family: one of `FAMILIES`; default the family that has the name, or whose type of method the
            specification names.
        settings: own settings of the method; default its defaults.
        data_dir: folder of data sets, read by data sets only; default `data`.

    Raises:
        UserError: no such method, or several families have one of that name.
    """
    members = choose("family", family, FAMILIES) if family else _family(name)
    word = members.name_of(name)
    members.refresh(word)
    method = members.find(word)
    (own,) = settings_for([(members, word)], dict(settings or {}))
    findings = _check_contract(members, method, own, word, data_dir)
    return members.name, [*_check_names(members, own), *findings]


def _check_names(members: Family, own: Any) -> list[Finding]:
    """Return a finding if a setting has the name of a field of a run, which `train` refuses."""
    if members.field not in METHOD_FIELDS or not dataclasses.fields(own):
        return []
    taken = sorted(fields_of(type(own)).keys() & fields_by_name().keys())
    return [
        Finding(
            "names of settings",
            not taken,
            f"{', '.join(taken)}: also a field of a run; rename" if taken else "no field of a run",
        )
    ]


def _check_contract(
    members: Family, method: Any, own: Any, word: str, data_dir: str
) -> list[Finding]:
    if isinstance(method, Rule):
        return _check_rule(method, own, word, members)
    if isinstance(method, PreAggregator):
        return check_step(method, own)
    if isinstance(method, Attack):
        return check_attack(method, own)
    if isinstance(method, Detector):
        tried = method.settings(**method.tried_with) if own == method.settings() else own
        return check_detector(method, tried)
    if isinstance(method, Defense):
        return check_defense(method, own)
    checks = {
        "unlearning": lambda: check_method(method, own, word),
        "model": lambda: check_model(method, own),
        "dataset": lambda: check_data_set(method, own, data_dir),
    }
    return checks[members.name]()


def _family(name: str) -> Family:
    """Return the family that a name belongs to."""
    found = family_of(name)
    if not found and ":" in name:
        thing = load_object("method", name)
        found = [family for family, members in FAMILIES.items() if isinstance(thing, members.kind)]
        if not found:
            raise UserError(
                f"family: {name} is a plain {type(thing).__name__}, which several "
                f"families take; name one (--family {', '.join(FAMILIES)})"
            )
    require(
        "name",
        name,
        bool(found),
        "a built-in method (see tfunlearn methods), package.module:name or file.py:name",
    )
    require(
        "family",
        name,
        len(found) == 1,
        f"given with --family: {' and '.join(found)} have this name",
    )
    return FAMILIES[found[0]]


def _check_rule(rule: Rule, own: Any, name: str, members: Family) -> list[Finding]:
    reference = gaussian_updates(5)[:5].mean(axis=0) if rule.reference else None
    tried = dict(rule.tried_with or {}) if own == rule.settings() else {}
    settings = {**vars(own), **tried}

    def call(updates, f):
        if name not in members:  # as in a run: non-finite rows are dropped first
            return Aggregator(name, f, **settings)(updates, f=f, reference=reference)
        return rule(updates, Round(f=f, reference=reference), **settings)

    def oracle(updates, f):
        assert rule.oracle is not None
        return np.array(
            rule.oracle(
                updates.astype(float).tolist(),
                Round(f=f, reference=reference),
                rule.settings(**settings),
            )
        )

    def averages(updates):
        return rule(updates, Round(reference=reference), **{**settings, **(rule.averages or {})})

    subject = RuleUnderTest(
        call, rule, oracle if rule.oracle else None, averages if rule.averages is not None else None
    )
    findings = check_aggregator(subject)
    if name in members and own == rule.settings():
        findings.append(same_bits_in_tff(name))
    return findings

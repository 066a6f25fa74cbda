"""All families of methods, and the installed methods of each."""

from __future__ import annotations

from typing import Any, NamedTuple

from tfunlearn.aggregation import PRE_AGGREGATORS, RULES
from tfunlearn.attacks import ATTACKS
from tfunlearn.core.errors import UserError, choose
from tfunlearn.core.families import Family
from tfunlearn.datasets import DATASETS
from tfunlearn.defenses import DEFENSES
from tfunlearn.detection import DETECTORS
from tfunlearn.methods.method import UNLEARNING
from tfunlearn.models import MODELS

FAMILIES: dict[str, Family[Any]] = {
    family.name: family
    for family in (
        *(RULES, PRE_AGGREGATORS, ATTACKS, DEFENSES, DETECTORS, UNLEARNING, MODELS, DATASETS),
    )
}


class Installed(NamedTuple):
    """A method that can be named.

    Attributes:
        family: name of its family.
        name: name of the method.
        source: `built in`, or the package that provides the method.
        summary: summary of the method, or the reason why it cannot be loaded.
        paper: authors, venue, arXiv number; may be empty.
    """

    family: str
    name: str
    source: str
    summary: str
    paper: str


def list_installed(family: str | None = None) -> list[Installed]:
    """Return the built-in methods and the entry points of one family; default of all families.

    Raises:
        UserError: no family of that name.
    """
    chosen = FAMILIES if family is None else {family: choose("family", family, FAMILIES)}
    found = []
    for name, members in chosen.items():
        found += [
            Installed(name, one, "built in", method.summary, method.paper)
            for one, method in members.items()
        ]
        for one in members.entry_points():
            if one in members:
                continue
            try:
                method, origin = members.find(one), members.origin(one)
                source = origin.package or origin.name if origin else one
                found.append(Installed(name, one, source, method.summary, method.paper))
            except UserError as error:
                found.append(Installed(name, one, "entry point", str(error), ""))
    return found


def family_of(name: str) -> list[str]:
    """Return the families that have a method of that name, built in or as an entry point.

    Detectors by a rule or defense have its name; they are found if no other family has it.
    """
    found = [
        family
        for family, members in FAMILIES.items()
        if name in members or name in members.entry_points()
    ]
    return [family for family in found if family != DETECTORS.name] or found

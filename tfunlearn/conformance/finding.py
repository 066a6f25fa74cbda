"""Findings of a conformance suite."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfunlearn.core.errors import Terminated, UserError


@dataclass(frozen=True)
class Finding:
    """Result of checking one property of one method.

    Attributes:
        name: name of the property.
        passed: whether it holds; None if it was not checked.
        detail: the observation, or the reason why it was not checked.
    """

    name: str
    passed: bool | None
    detail: str = ""


def text_of(error: BaseException) -> str:
    """Return an error's text, or a placeholder if a third-party error fails to provide one."""
    try:
        return str(error)
    except Exception:
        return "an error without text"


def findings_of(checks: Mapping[str, Callable[[Any], tuple]], subject: Any) -> list[Finding]:
    """Return a finding for every check `subject -> (passed, detail)`.

    A method that raises fails the property being checked, with its error as the detail.
    """
    findings = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for name, check in checks.items():
            try:
                passed, detail = check(subject)
            except Terminated:
                raise
            except (Exception, SystemExit, GeneratorExit) as error:  # third-party code
                name_of = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                passed, detail = False, f"raises {name_of}{text_of(error)}"[:160]
            findings.append(Finding(name, None if passed is None else bool(passed), detail))
    return findings

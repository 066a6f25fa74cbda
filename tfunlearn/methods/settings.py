"""Settings of one unlearning: the method, the forget set, and the method's own settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfunlearn.config.legacy import UNLEARNING_FIELDS
from tfunlearn.core.errors import UserError, require, require_whole
from tfunlearn.core.families import Origin, require_known, settings_for
from tfunlearn.core.fields import ConfigField, check_types, fields_of, option
from tfunlearn.core.requests import FORMS, ForgetRequest
from tfunlearn.methods.method import UNLEARNING, MethodSettings, UnlearningMethod

AUTO = "auto"


@dataclass(frozen=True)
class UnlearnSettings:
    """Settings of one unlearning; field names are unique among those of a run's configuration.

    Attributes:
        own: the method's own settings; default the method's defaults. None with method auto.
        given: with method auto, the settings given for the method to be chosen.
    """

    method: str = option(
        AUTO,
        "Unlearning method: auto (chosen by the request), a name, package.module:name or "
        "file.py:name; see tfunlearn methods --family unlearning.",
    )
    forget: tuple[str, ...] = option(("malicious",), f"Forget set: {FORMS}.")
    unlearn_seed: int | None = option(
        None, "Seed of the unlearning's random draws; none: the run's."
    )
    reference: bool = option(True, "Also retrain from scratch for comparison (once per request).")
    own: MethodSettings | None = None
    given: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "method", UNLEARNING.name_of(self.method))
        if self.method == AUTO:
            self._check_given()
        elif self.own is None:
            object.__setattr__(self, "own", UNLEARNING.make_settings(self.method))
        ForgetRequest.parse(self.forget, malicious=(0,), detected=lambda name: (0,))
        if self.unlearn_seed is not None:
            require_whole("unlearn_seed", self.unlearn_seed, 0, 2**31 - 1)

    def __getattr__(self, name: str) -> Any:
        """Return one of the method's own settings, for compatibility with earlier builds."""
        if name.startswith("_") or "own" not in self.__dict__ or self.own is None:
            raise AttributeError(name)
        return getattr(self.own, name)

    @property
    def rule(self) -> str:
        """The stop rule; the method's default if none was named."""
        return "rounds" if self.own is None else self.own.stop_rule

    @property
    def unlearning_method(self) -> UnlearningMethod:
        """The method.

        Raises:
            UserError: the method is auto and not chosen yet.
        """
        require("method", self.method, self.method != AUTO, "the name of a method")
        return UNLEARNING.find(self.method)

    @property
    def origin(self) -> Origin | None:
        """Origin of the method; None for a built-in one."""
        return None if self.method == AUTO else UNLEARNING.origin(self.method)

    def candidate(self, method: str) -> UnlearnSettings:
        """Return the settings of one method; given settings that it lacks are ignored."""
        known = UNLEARNING.fields(method)
        own = UNLEARNING.find(method).settings(
            **{name: value for name, value in self.given.items() if name in known}
        )
        return dataclasses.replace(self, method=method, own=own, given={})

    def with_method(self, method: str) -> UnlearnSettings:
        """Return the settings with the method that was chosen for `auto`.

        Raises:
            UserError: a given setting does not exist in the method.
        """
        (own,) = settings_for([(UNLEARNING, method)], self.given, common=COMMON)
        return dataclasses.replace(self, method=method, own=own, given={})

    def recorded(self) -> dict[str, Any]:
        """Return the method and its own settings as stored in files and fingerprints."""
        if self.own is None:
            return {"method": self.method, **UNLEARNING_FIELDS, **self.given}
        return {"method": self.method, **self.own.recorded()}

    def flat(self) -> dict[str, Any]:
        """Return all settings by their flat names, as `unlearn_settings` takes them."""
        common = {name: getattr(self, name) for name in COMMON}
        return {**common, **(self.given if self.own is None else dataclasses.asdict(self.own))}

    def _check_given(self) -> None:
        """Check that at least one method that auto may choose takes the given settings."""
        errors = []
        for method in candidates():
            try:
                self.candidate(method.name)
                own = UNLEARNING.fields(method.name)
                if self.given.keys() <= own.keys():
                    return
            except UserError as error:
                errors.append(error)
        if errors:
            raise errors[-1]


COMMON = tuple(fields_of(UnlearnSettings))


def candidates() -> list[UnlearningMethod]:
    """Return the methods that auto may choose."""
    return [method for method in UNLEARNING.values() if method.default_for]


def reference_method() -> str:
    """Return the name of the reference method, which the others are compared with."""
    return next(name for name, method in UNLEARNING.items() if method.is_reference)


def common_fields() -> dict[str, ConfigField]:
    """Return the fields common to all unlearning methods, the forget set included."""
    return fields_of(UnlearnSettings)


def own_fields(method: str) -> dict[str, ConfigField]:
    """Return a method's own fields; with auto, those of all methods that it may choose."""
    if method != AUTO:
        return UNLEARNING.fields(method)
    found: dict[str, ConfigField] = {}
    for one in candidates():
        found |= {
            name: field for name, field in fields_of(one.settings).items() if name not in found
        }
    return found


def unlearn_settings(**values: Any) -> UnlearnSettings:
    """Return settings from flat field names; fields not given have their defaults.

    Example:
        unlearn_settings(method="not", forget=["client:3"])

    Args:
        **values: common fields (method, forget, unlearn_seed, reference) and the method's own ones.
            `method` may also be an `UnlearningMethod`, or a function.

    Raises:
        UserError: unknown field (the nearest one is named), a field of another method, wrong type,
            or value out of range.
    """
    if "method" in values:
        values["method"] = UNLEARNING.name_of(values["method"])
        UNLEARNING.refresh(values["method"])
    common = check_types(
        {name: values.pop(name) for name in COMMON if name in values}, common_fields()
    )
    method = common.get("method", AUTO)
    if method != AUTO:
        (own,) = settings_for([(UNLEARNING, method)], values, common=COMMON)
        return UnlearnSettings(**common, own=own)
    one_of = [(UNLEARNING, candidate.name) for candidate in candidates()]
    require_known(one_of, values, common=COMMON)
    known = own_fields(AUTO)
    return UnlearnSettings(
        **common,
        given=check_types({name: value for name, value in values.items() if name in known}, known),
    )

"""Base of the configuration sections that name methods and hold their settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from tfunlearn.core.families import Family
from tfunlearn.core.fields import fields_of


@dataclass(frozen=True)
class Section:
    """A section that names methods.

    Attributes:
        families: each field that names methods, with the methods' family.
        own: settings of the chosen methods, in the order of `chosen`; default their defaults.
    """

    families: ClassVar[dict[str, Family]] = {}
    own: tuple[Any, ...] = dataclasses.field(default=(), kw_only=True)

    def __post_init__(self):
        for field, family in self.families.items():
            value = getattr(self, field)
            names = value if isinstance(value, tuple) else (value,)
            found = tuple(family.name_of(name) for name in names)
            object.__setattr__(self, field, found if isinstance(value, tuple) else found[0])
        if not self.own:
            object.__setattr__(
                self, "own", tuple(family.make_settings(name) for family, name in self.chosen())
            )

    def chosen(self) -> list[tuple[Family, str]]:
        """Return family and name of every method that the section names."""
        found = []
        for field, family in self.families.items():
            value = getattr(self, field)
            found += [(family, name) for name in (value if isinstance(value, tuple) else (value,))]
        return found

    def distinct(self, field: str) -> bool:
        """Return whether the names of a field stand for different methods."""
        names = [self.families[field].same_as(name) for name in getattr(self, field)]
        return len(set(names)) == len(names)

    def methods(self) -> list[tuple[Any, Any]]:
        """Return every method that the section names, with its settings."""
        return [(family.find(name), own) for (family, name), own in zip(self.chosen(), self.own)]

    def leaves(self) -> Iterator[tuple[str, Any]]:
        """Yield every field of the section and of its methods' settings, with its value."""
        for name in fields_of(type(self)):
            yield name, getattr(self, name)
        for own in self.own:
            for name in fields_of(type(own)):
                yield name, getattr(own, name)

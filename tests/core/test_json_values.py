"""Records from JSON values."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tfunlearn.core.json_values import from_json


@dataclass(frozen=True)
class Inner:
    value: float | None
    names: list[str]


@dataclass(frozen=True)
class Outer:
    first: Inner
    by_name: dict[str, Inner]
    optional: Inner | None = None
    rows: list[list[float]] | None = None


def test_nested_values_become_records():
    stored = {"value": 1.5, "names": ["a"]}
    found = from_json(
        Outer,
        {
            "first": stored,
            "by_name": {"one": {"value": None, "names": []}},
            "optional": stored,
            "rows": [[1, "inf"], ["-inf"]],
        },
    )
    inf = float("inf")
    assert found == Outer(
        Inner(1.5, ["a"]), {"one": Inner(None, [])}, Inner(1.5, ["a"]), [[1, inf], [-inf]]
    )
    assert from_json(Outer, {"first": stored, "by_name": {}}).optional is None


@pytest.mark.parametrize(
    "content",
    [
        {"first": {"value": 1.0, "names": []}},  # by_name is missing
        {"first": {"value": 1.0, "names": [], "more": 1}, "by_name": {}},
        {"first": [], "by_name": {}},
        {"first": {"value": "many", "names": []}, "by_name": {}},
        {"first": {"value": 1.0, "names": "a"}, "by_name": {}},
    ],
)
def test_another_structure_is_refused(content):
    with pytest.raises(TypeError):
        from_json(Outer, content)

"""Names that a method's settings may not have, compared with the commands' parameters."""

from __future__ import annotations

import importlib

import pytest

from tfunlearn.config.reading import fields_by_name
from tfunlearn.core.declarations import TRAIN_FLAGS, UNLEARN_FLAGS
from tfunlearn.methods.settings import COMMON


@pytest.mark.parametrize(
    "command, flags, fields",
    [("train", TRAIN_FLAGS, fields_by_name()), ("unlearn", UNLEARN_FLAGS, dict.fromkeys(COMMON))],
)
def test_every_parameter_that_is_no_field_is_reserved(command, flags, fields):
    found = getattr(importlib.import_module(f"tfunlearn_cli.{command}"), command)
    named = {parameter.name for parameter in found.params}
    spelled = {
        word.lstrip("-").replace("-", "_")
        for parameter in found.params
        for word in parameter.opts
        if parameter.name not in fields
    }
    assert (named | spelled) - fields.keys() - {"class", "help"} <= set(flags)
    assert set(flags) - {"help"} <= named | spelled

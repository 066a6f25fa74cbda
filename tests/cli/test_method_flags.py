"""Flags and help texts follow the chosen methods; flags of other methods are refused."""

from __future__ import annotations

import json

import pytest

from tfunlearn.config.reading import FAMILIES
from tfunlearn.methods.method import UNLEARNING


@pytest.fixture
def help_of(typed):
    def call(*words):
        code, out, err = typed(*words, "--help")
        assert code == 0 and err == "", err
        return out

    return call


def test_without_a_method_the_help_is_a_short_overview(help_of):
    text = help_of("unlearn")
    assert len(text.splitlines()) < 80
    assert all(f"\n  {name} " in text for name in UNLEARNING)
    assert "--negate" not in text and "--recovery-rounds" not in text


@pytest.mark.parametrize("method", UNLEARNING)
def test_a_method_shows_its_own_settings_and_the_common_ones(help_of, method):
    text = help_of("unlearn", "--method", method)
    own = UNLEARNING.fields(method)
    assert ("Settings of --method" in text) == bool(own)
    others = set(UNLEARNING.built_in_fields()) - set(own)
    for name in own:
        assert f"--{name.replace('_', '-')}" in text
    for name in others:
        assert f"\n  --{name.replace('_', '-')} " not in text
    assert "--unlearn-seed" in text


def test_train_shows_the_settings_of_what_is_named(help_of, tmp_path, monkeypatch):
    text = help_of("train", "--attack", "backdoor", "--defense", "flap", "--rule=multi-krum")
    for flag in ("--trigger-size", "--prune-limit", "--selected"):
        assert flag in text
    assert "--attack-scale" not in text and "Settings of --attack backdoor" in text
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.json").write_text(json.dumps({"rule": "rfa", "attack": ["ipm"]}))
    text = help_of("train", "--config", "c.json")
    assert "--passes" in text and "--attack-scale" in text
    assert "--passes" not in help_of("train", "--config", "c.json", "--rule", "krum")


def test_a_preset_chooses_methods_too(help_of):
    assert "--unlearn-lr" in help_of("unlearn", "--preset", "fedosd-official")


@pytest.mark.parametrize(
    "words, message",
    [
        (["unlearn", "x", "--method", "not", "--delta", "1"], "--delta: .*ablation-channel"),
        (["unlearn", "x", "--negate", "2"], "--negate: .*auto; it is for not"),
        (["train", "--trigger-size", "3"], "--trigger-size: .*--attack none; .*backdoor"),
        (["train", "--rule", "krum", "--clip", "1"], "--clip: .*krum; .*centered-clipping"),
        (["train", "--no-prune-pairs"], "--no-prune-pairs: .*--defense none; it is for flap"),
        (["train", "--defense", "err", "--compat", "flop"], "compat: .*'flop'"),
        (["train", "--attack", "none", "--attack-scale", "3"], "--attack-scale"),
        (["unlearn", "x", "--metod", "not"], "No such option.*--metod"),
        (["unlearn", "x", "--method"], "--method"),
        (["unlearn", "x", "--method", "file.py:nothing"], "cannot be loaded"),
    ],
)
def test_flags_of_other_methods_are_refused(typed, words, message):
    import re

    code, out, err = typed(*words)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert re.search(message, err), err


def test_every_field_is_a_flag_of_its_method_alone():
    """No two families give the same flag another meaning."""
    for family in FAMILIES:
        for name, field in family.built_in_fields().items():
            for other in FAMILIES:
                one = other.built_in_fields().get(name)
                assert one is None or (one.kinds, one.default) == (field.kinds, field.default)

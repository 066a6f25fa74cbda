"""Run configuration: names, types, ranges, files."""

from __future__ import annotations

import json

import pytest

from tfunlearn.config.fingerprint import content_of
from tfunlearn.config.reading import fields_by_name
from tfunlearn.core.errors import UserError
from tfunlearn.defenses import DEFENSES
from tfunlearn.experiment import RunConfig, read_config, run_config
from tfunlearn.runs.loading import stored_config
from tfunlearn.runs.run_directory import RunDirectory


def test_defaults_and_flat_names_round_trip():
    config = run_config(attack="label-flip", defense="flap", malicious=3, clients=8, lr=1)
    assert config.defense.defense == ("flap",) and config.training.lr == 1.0
    assert config.malicious_count == 3 and config.participants == 8
    assert run_config(**json.loads(json.dumps(config.flat()))) == config
    assert run_config() == RunConfig() and set(RunConfig().flat()) == set(fields_by_name())


@pytest.mark.parametrize(
    "value, count", [(0.4, 4), (0.25, 3), (0.01, 1), (0.0, 0), (1.0, 10), (0, 0), (1, 1), (10, 10)]
)
def test_malicious_as_count_or_fraction(value, count):
    assert run_config(attack="label-flip", malicious=value).malicious_count == count
    assert run_config(malicious=value).malicious_count == 0


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(atack="none"), "unknown field 'atack'; did you mean 'attack'"),
        (dict(dataset="mnits"), "did you mean 'mnist'"),
        (dict(model="resnet19"), "did you mean 'resnet"),
        (dict(partition="idd"), "did you mean 'iid'"),
        (dict(optimizer="adams"), "did you mean 'adam'"),
        (dict(attack="labelflip"), "did you mean 'label-flip'"),
        (dict(defense=["flapp"]), "did you mean 'flap'"),
        (dict(model="mlp", norm="batch"), "it is for resnet18"),
        (dict(clients=0), "clients: .*got 0"),
        (dict(clients=2.5), "clients: .*got 2.5"),
        (dict(rounds=0), "rounds: .*got 0"),
        (dict(rounds=True), "rounds: .*got True"),
        (dict(lr=0.0), "lr: .*got 0.0"),
        (dict(lr="fast"), "lr: .*got 'fast'"),
        (dict(lr=float("nan")), "lr: .*got nan"),
        (dict(batch_size=-1), "batch_size: .*got -1"),
        (dict(local_epochs=0), "local_epochs: .*got 0"),
        (dict(alpha=0.0), "alpha: .*got 0.0"),
        (dict(participation=0.0), "participation: .*got 0.0"),
        (dict(participation=11), "participation: .*number of clients .10.; got 11"),
        (
            dict(malicious=11),
            "malicious: .*number of clients .10.; got 11",
        ),
        (dict(malicious=1.5), "malicious: .*got 1.5"),
        (dict(malicious=-1), "malicious: .*got -1"),
        (dict(attack="label-flip", source=7, target=7), "target: .*got 7"),
        (dict(attack_start=0), "attack_start: .*got 0"),
        (dict(attack_start=5, attack_stop=4), "attack_stop: .*got 4"),
        (dict(boost=float("inf")), "boost: .*got inf"),
        (dict(prune_fraction=0.0), "prune_fraction: .*got 0.0"),
        (dict(prune_fraction=1.5), "prune_fraction: .*got 1.5"),
        (dict(prune_every=0), "prune_every: .*got 0"),
        (dict(seed=-1), "seed: .*got -1"),
        (dict(train_examples=5), "train_examples: .*got 5"),
        (dict(gather="yes"), "gather: .*true or false.*got 'yes'"),
        (dict(defense=3), "defense: .*got 3"),
    ],
)
def test_what_is_not_allowed_is_said_in_one_line(values, message):
    with pytest.raises(UserError, match=message) as error:
        run_config(**values)
    assert "\n" not in str(error.value)


def test_files_in_both_formats(tmp_path):
    (tmp_path / "a.toml").write_text('attack = "label-flip"\ndefense = ["flap"]\nlr = 0.01\n')
    (tmp_path / "a.json").write_text('{"rounds": 3, "versions": {"numpy": "1"}}')
    assert run_config(**read_config(str(tmp_path / "a.toml"))).defense.defense == ("flap",)
    assert read_config(str(tmp_path / "a.json")) == {"rounds": 3}


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.json", "{", "is not valid json"),
        ("a.toml", "x = = 1", "is not valid toml"),
        ("a.json", "[1]", "must hold a table; got a list"),
        ("a.yaml", "x: 1", "ends in .json or .toml"),
        ("none.json", None, "cannot be read"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        read_config(str(tmp_path / name))


def test_a_flap_run_of_before_keeps_its_meaning_and_its_hash(tmp_path):
    """Defaults of missing fields in config.json: progressive, no limit, narrow layers included."""
    earlier = DEFENSES["flap"].earlier
    new = run_config(defense="flap", attack="label-flip")
    directory = RunDirectory(tmp_path)
    fields = {name: value for name, value in new.flat().items() if name not in earlier}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    old = stored_config(directory).defense.own[0]
    assert (old.prune_progressive, old.prune_limit, old.prune_narrow, old.prune_score) == (
        True,
        1.0,
        True,
        "saliency",
    )
    assert not set(earlier) & set(content_of(stored_config(directory)))
    assert set(earlier) <= set(content_of(new))
    assert not set(earlier) & set(content_of(run_config()))
    with pytest.raises(UserError, match="prune_score: .*saliency.*got 'impact'"):
        run_config(defense="flap", prune_score="impact")
    assert run_config(defense="flap", prune_score="impact", gather=True)

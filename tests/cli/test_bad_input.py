"""User errors: one line on stderr, exit code 2, nothing overwritten."""

from __future__ import annotations

import re
import zipfile

import pytest

from tfunlearn.engines import tff_is_usable


@pytest.fixture
def call(monkeypatch, tmp_path, typed):
    monkeypatch.chdir(tmp_path)
    return typed


# what is said of workers where there is no TFF
WITH_TFF = None if tff_is_usable() else "needs TensorFlow Federated|engine tensorflow"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["trian"], "did you mean 'train'"),
        (["train", "--atack", "none"], "--attack"),
        (["train", "--attack", "label-flop"], "did you mean 'label-flip'"),
        (["train", "--defense", "flapp"], "did you mean 'flap'"),
        (["train", "--model", "lenet"], "did you mean 'lenet5'"),
        (["train", "--dataset", "digit"], "did you mean 'digits'"),
        (["train", "--partition", "dirichlets"], "did you mean 'dirichlet'"),
        (["train", "--optimizer", "sgdd"], "did you mean 'sgd'"),
        (["train", "--norm", "group"], "--norm: .*--model none; it is for resnet18"),
        (["train", "--defense", "flap", "--prune-fraction", "0"], "prune_fraction: .*got 0.0"),
        (["train", "--defense", "flap", "--prune-fraction", "1.2"], "prune_fraction: .*got 1.2"),
        (
            ["train", "--prune-fraction", "0.1"],
            "--prune-fraction: .*--defense none; it is for flap",
        ),
        (["train", "--no-prune-filters"], "--defense none; it is for flap"),
        (["train", "--defense", "err", "--prune-limit", "0.3"], "--defense err; it is for flap"),
        (["train", "--no-include-residual"], "--defense none; it is for flap"),
        (
            ["train", "--defense", "flap", "--no-prune-filters", "--prune-progressive"],
            "prune_progressive: .*without --prune-filters; got True",
        ),
        (
            ["train", "--defense", "flap", "--no-prune-pairs", "--prune-score", "impact"],
            "prune_score: .*without --prune-pairs; got 'impact'",
        ),
        (["train", "--malicious", "1.5"], "malicious: .*got 1.5"),
        (["train", "--malicious", "11"], "malicious: .*the number of clients .10.; got 11"),
        (["train", "--malicious", "many"], "neither a count"),
        (["train", "--participation", "0.0"], "participation"),
        (["train", "--rounds", "x"], "not a valid int"),
        (
            ["train", "--attack", "label-flip", "--source", "12"],
            "source: .*class of the data, from 0 to 9; got 12",
        ),
        (["train", "--attack", "label-flip", "--target", "1"], "target: .*got 1"),
        (
            ["train", "--clients", "5000"],
            "clients: .*at most one per.*got 5000",
        ),
        (["train", "--clients", "1" + "0" * 30], "at most one per training example"),
        (["train", "--alpha", "1e-300", "--partition", "dirichlet"], "alpha: .*got 1e-300"),
        (["train", "--lr", "1e300"], r"lr: .*got 1e\+300"),
        (["train", "--boost", "1e300"], r"boost: .*got 1e\+300"),
        (["train", "--out", ""], "the name of a folder"),
        (["train", "--config", ""], "ends in .json or .toml"),
        (["data", "--dataset", "mnist"], "show: .*where other options are given; got False"),
        (["train", "--partition", "writers"], "needs a data set with natural clients"),
        (["train", "--config", "missing.toml"], "cannot be read"),
        (["train", "--seed", "-3"], "seed: .*got -3"),
        (["train", "--rule", "krumm"], "did you mean 'krum'"),
        (["train", "--rule", "krum", "--byzantine", "4"], "krum .*got n=10, f=4"),
        (["train", "--rule", "trimmed-mean", "--byzantine", "0.5"], "got n=10, f=5"),
        (["train", "--byzantine", "most"], "byzantine: unknown name 'most'"),
        (["train", "--attack", "alie", "--malicious", "1"], "alie with knowledge partial .*got 1"),
        (["train", "--attack", "alie", "--no-gather"], "gather: .*got False"),
        (["train", "--defense", "err", "--validation-examples", "0"], "since err needs examples"),
        (
            ["train", "--attack", "backdoor", "--trigger-size", "30"],
            "trigger_size: .*28x28; got 30",
        ),
        (["train", "--attack", "alie", "--attack", "ipm"], "at most one attack on updates"),
        (["sweep", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["sweep", "flap-table"], "did you mean 'flap-table1'"),
        (["sweep", "robustness-digits", "--rounds", "0"], "rounds: .*got 0"),
        (["check-aggregator", "krumm"], "did you mean 'krum'"),
        (["check-aggregator", "krum", "--like", "mean"], "like, set: .*module:function; got krum"),
        (["check-aggregator", "os:nothing"], "os must define"),
        (["check-aggregator", "os:name"], "os:name must be .*got a str"),
        (["check-aggregator", "os:getcwd", "--set", "x"], "is not NAME=VALUE"),
        (
            ["check-aggregator", "numpy:median", "--set", "AXIS=0"],
            "unexpected keyword argument 'AXIS'",
        ),
        (
            ["check-aggregator", "tfunlearn.aggregation:krum", "--set", "f=1"],
            "set: f must not be set",
        ),
        (["check-aggregator", "tfunlearn.aggregation:fltrust"], "missing a required"),
        (
            ["check-aggregator", "numpy:median", "--like", "fltrust"],
            "needs the server's own update",
        ),
        (["sweep", "robustness-digits", "--out", ""], "the name of a folder"),
        (["check-aggregator", "numpy:median", "--like", "medain"], "did you mean 'median'"),
        (["data", "--show", "--partition", "iidd"], "did you mean 'iid'"),
        (["evaluate", "nowhere"], "no run directory"),
        (["resume", "nowhere"], "existing run, unlearning or sweep"),
        (["resume", "nowhere", "--worker", "8000"], "existing run, unlearning or sweep"),
        (["verify", "nowhere"], "no run directory"),
        (["verify", "nowhere", "--shadows", "2"], "shadows: .*got 2"),
        (["verify", "nowhere", "--retrains", "0"], "retrains: .*got 0"),
        (["verify", "nowhere", "--variance", "own"], "variance: unknown name 'own'"),
        (["verify", "nowhere", "--preset", "memorization-emnist-iid"], "a preset for verify"),
        (["report", "nowhere"], "no run directory"),
        (["report", "nowhere", "--out", ""], "no run directory"),
        (["report"], "RUN"),
        (["worker"], "--port"),
        (["worker", "--port", "70000"], "70000 is not in the range"),
        (
            ["worker", "--port", "0", "--host", "nowhere.invalid"],
            WITH_TFF or "cannot be listened at",
        ),
        (["train", "--worker", "8000"], WITH_TFF or "worker: .*host:port.*got '8000'"),
        (["train", "--worker", "127.0.0.1:9", "--no-gather"], "gather: .*got False"),
        (["train", "--worker", "a:1", "--worker", "a:1"], WITH_TFF or "different addresses"),
        (["train", "--engine", "tf"], "engine: unknown name 'tf'"),
        (["train", "--engine", "tff", "--clients-at-once", "2"], "tff"),
        (["train", "--clients-at-once", "0"], "clients_at_once: .*got 0"),
        (["train", "--threads-per-client", "0"], "threads_per_client: .*got 0"),
        (["train", "--precision", "float16"], "precision: unknown name 'float16'"),
        (["unlearn", "nowhere", "--engine", "tf"], "engine: unknown name 'tf'"),
        (["train", "--training-seed", "-1"], "training_seed: .*got -1"),
        (["evaluate"], "RUN"),
    ],
)
def test_one_line_and_code_2(call, tmp_path, arguments, message):
    code, out, err = call(*arguments)
    assert code == 2 and re.search(message, err) and err.count("\n") == 1
    assert "Traceback" not in err and list(tmp_path.rglob("*")) == []


def test_unknown_key_in_a_config_file(call, tmp_path):
    (tmp_path / "c.toml").write_text("roundz = 3\n")
    code, _, err = call("train", "--config", "c.toml")
    assert code == 2 and "unknown field 'roundz'; did you mean 'rounds'?" in err


def test_used_and_unwritable_run_directories(call, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("keep")
    code, _, err = call("train", "--out", "used")
    assert code == 2 and "in use already" in err and err.count("\n") == 1
    code, _, err = call("train", "--out", "used/mine.txt/run")
    assert code == 2 and "cannot be written" in err and err.count("\n") == 1
    assert (tmp_path / "used" / "mine.txt").read_text() == "keep"
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["mine.txt"]


def test_folders_that_were_there_stay_and_new_ones_go(call, tmp_path):
    (tmp_path / "empty").mkdir()
    for out in ("empty", "new/a/b"):
        assert call("train", "--model", "absent.keras", "--out", out)[0] == 2
    assert list(tmp_path.rglob("*")) == [tmp_path / "empty"]


@pytest.mark.parametrize(
    "name, content",
    [
        ("c.json", '{"alpha": 1' + "0" * 400 + "}"),
        ("c.json", "[" * 200_000),
        ("c.json", '{"model": "x\\ud800.keras"}'),
        ("c.json", '{"model": "x\\u0000.keras"}'),
        ("c.toml", "x = " + "[" * 100_000),
    ],
)
def test_malicious_config_files(call, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    code, _, err = call("train", "--config", name)
    assert code == 2 and err.count("\n") == 1, err[-300:]


def test_models_that_cannot_be_used(call, tmp_path):
    import tensorflow as tf

    (tmp_path / "corrupt.keras").write_bytes(b"PK\x03\x04 nothing")
    with zipfile.ZipFile(tmp_path / "foreign.keras", "w") as archive:
        archive.writestr("hello.txt", "hello")
    layers = tf.keras.layers
    tf.keras.Sequential([layers.Input((32, 32, 3)), layers.Flatten(), layers.Dense(10)]).save(
        tmp_path / "colour.keras"
    )
    tf.keras.Sequential([layers.Input((28, 28, 1)), layers.Flatten(), layers.Dense(3)]).save(
        tmp_path / "three.keras"
    )
    images = layers.Input((28, 28, 1))
    scores = layers.Dense(10, name="scores")(layers.Flatten()(images))
    tf.keras.Model({"x": images}, {"y": scores}).save(tmp_path / "named.keras")
    tf.keras.Model(images, layers.Flatten()(layers.Cropping2D(((13, 14), (9, 9)))(images))).save(
        tmp_path / "weightless.keras"
    )
    pixels = layers.Input((28, 28, 1), dtype="uint8")
    tf.keras.Model(pixels, layers.Dense(10)(layers.Flatten()(layers.Rescaling(1.0)(pixels)))).save(
        tmp_path / "bytes.keras"
    )
    for name, message in (
        ("named", "named or several"),
        ("weightless", "a model with trainable weights"),
        ("bytes", "must take float32 input, or int32 (token ids); got uint8"),
        ("corrupt", "not a Keras model"),
        ("foreign", "not a Keras model"),
        ("colour", "the data has (28, 28, 1)"),
        ("three", "10 classes"),
        ("absent", "no file"),
    ):
        code, _, err = call("train", "--model", f"{name}.keras")
        assert code == 2 and message in err and err.count("\n") == 1, err
        assert not any((tmp_path / "runs").glob("*"))


def test_pictures_are_not_written_over(call, tmp_path):
    (tmp_path / "mine.png").write_bytes(b"keep")
    for name, message in (
        ("mine.png", "this one exists"),
        ("x.txt", "ends in .png"),
        ("none/x.png", "a folder that exists"),
    ):
        code, _, err = call("data", "--show", "--png", name)
        assert code == 2 and message in err and err.count("\n") == 1
    assert (tmp_path / "mine.png").read_bytes() == b"keep"


def test_without_a_command_there_is_help(call):
    code, out, err = call()
    assert code == 0 and "Commands:" in out and "train" in out and err == ""


def test_our_own_mistakes_are_code_1(call, monkeypatch):
    monkeypatch.setattr("tfunlearn_cli.train.run_config", lambda **_: 1 / 0)
    code, _, err = call("train")
    assert code == 1 and "Traceback" in err and "ZeroDivisionError" in err

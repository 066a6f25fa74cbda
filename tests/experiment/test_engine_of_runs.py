"""What a run records of its engine, and what is said when it goes on under another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tfunlearn.core import compute
from tfunlearn.core.errors import UserError
from tfunlearn.core.vectors import to_vector
from tfunlearn.engines import choosing, tff_is_usable, using_engine
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import unlearn, unlearn_settings
from tfunlearn.training.resume import resume_training

SMALL = dict(train_examples=200, clients=4, malicious=1, rounds=2, attack="label-flip")
PROGRAM = """
import sys
from tfunlearn.experiment import run_config, train
class Stop(Exception): pass
def stop(line): raise Stop
config = run_config(train_examples=100, clients=2, rounds=2, engine="tensorflow")
try:
    train(config, out=sys.argv[1], on_round=stop)
except Stop:
    pass
assert "tensorflow_federated" not in sys.modules
"""


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    """A run on TensorFlow alone, stopped after a round, in a process in which the user has set both
    variables."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    set_by_user = {"TF_NUM_INTRAOP_THREADS": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:tfunlearn", "-c", PROGRAM, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, **set_by_user},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_the_users_settings_stay_are_recorded_and_a_resume_under_others_is_told(plain_run):
    record = json.loads((plain_run / "config.json").read_text())
    assert record["engine"] == "tensorflow" and record["compute"]["engine"] == "tensorflow"
    assert record["compute"]["onednn"] is False and record["compute"]["threads_per_client"] == 3
    assert record["compute"]["where"].startswith("CPU") and "tensorflow" in record["versions"]
    told = []
    resume_training(plain_run, on_damage=told.append)
    (words,) = told
    assert "so that bits may differ: " in words
    assert "threads_per_client 1 instead of 3" in words and "onednn True instead of False" in words


def test_settings_of_ours_are_not_the_users_in_a_child_process():
    """A variable that `prepare` has set is set anew by a child with another setting."""
    child = (
        "import os; from tfunlearn.core import compute; compute.prepare(2);"
        "print(os.environ['TF_NUM_INTRAOP_THREADS'], os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    )
    parent = (
        "import subprocess, sys; from tfunlearn.core import compute; compute.prepare(1);"
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    names = ("TF_NUM_INTRAOP_THREADS", "TF_ENABLE_ONEDNN_OPTS", "TFUNLEARN_SET_THREADS")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    for given, expected in ({}, "2 1"), ({names[0]: "1", names[1]: "0"}, "1 0"):
        done = subprocess.run(
            [sys.executable, "-c", parent],
            capture_output=True,
            text=True,
            check=True,
            env={**clean, **given},
        )
        assert done.stdout.strip() == expected


def test_a_number_of_threads_in_the_environment_is_checked(monkeypatch):
    for told in "abc", "-1", "0", "100000", "1.5":
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", told)
        with pytest.raises(UserError, match=f"TF_NUM_INTRAOP_THREADS: .*1 to 1024; got '{told}'"):
            compute.prepare()
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    with pytest.warns(UserWarning, match="=3 in the environment wins over 2 threads"):
        compute.prepare(2)


def test_a_run_of_an_engine_that_is_not_here_goes_on_with_the_other(tmp_path, monkeypatch):
    run = train(run_config(**SMALL), out=tmp_path / "run")
    record = json.loads(run.directory.config.read_text())
    record["engine"] = "tff"
    run.directory.config.write_text(json.dumps(record))
    monkeypatch.setattr(choosing, "_tff_release", lambda: ())
    with pytest.warns(UserWarning, match="engine tff, which is not installed"):
        done = unlearn(
            run.directory.path,
            unlearn_settings(method="finetune", recovery_rounds=1, reference=False),
        )
    assert json.loads(done.directory.config.read_text())["compute"]["engine"] == "tensorflow"


@pytest.mark.skipif(not tff_is_usable(), reason="TensorFlow Federated is not installed")
def test_both_engines_train_the_same_model_up_to_last_bits(tmp_path):
    runs = [
        train(run_config(**SMALL, engine=engine, rule=rule), out=tmp_path / f"{engine}-{rule}")
        for rule in ("mean", "median")
        for engine in ("tff", "tensorflow")
    ]
    for tff, plain in (runs[:2], runs[2:]):
        a, b = (to_vector(run.model.get_weights()) for run in (tff, plain))
        np.testing.assert_allclose(a, b, atol=1e-3)
        assert [line["participants"] for line in tff.metrics] == [
            line["participants"] for line in plain.metrics
        ]
    before = to_vector(runs[0].model.get_weights()).tobytes()
    with using_engine("tensorflow"):  # a finished run is checked, not trained on
        resumed = resume_training(runs[0].directory.path)
    assert to_vector(resumed.model.get_weights()).tobytes() == before


def test_the_command_says_what_computes():
    from tfunlearn_cli.display import engine_words

    words = engine_words(run_config(engine="tensorflow", clients_at_once=2))
    assert (
        words.startswith("tensorflow 2.")
        and "on the CPU, 2 clients at once, 1 thread inside" in words
    )

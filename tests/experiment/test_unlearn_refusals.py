"""Requests that cannot be met, and that no partial result is left behind."""

from __future__ import annotations

import json

import numpy as np
import pytest
from unlearn_cases import SMALL, contents, quick

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import read_arrays
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import Watch, resume_unlearning, unlearn, unlearn_settings


@pytest.mark.parametrize(
    "words, message",
    [
        (["client:6"], "client: .*0 to 5; got 6"),
        (["class:10"], "class: .*0 to 9; got 10"),
        (["example:0:40"], "examples: .*0 to 39 for client 0.*got '0:40'"),
        ([f"client:{k}" for k in range(6)], "at least one example must remain"),
        ([f"class:{k}" for k in range(10)], "at least one example must remain"),
        (["client:0", "client:1", "client:2"], "benign majority.*got .3 of 6 clients"),
    ],
)
def test_requests_that_cannot_be_met(copied, words, message):
    before = contents(copied)
    with pytest.raises(UserError, match=message):
        unlearn(copied, quick(forget=words))
    assert contents(copied.parent) == {f"run/{name}": sum_ for name, sum_ in before.items()}


def test_where_the_new_run_goes(copied, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("keep")
    for out, message in (
        (tmp_path / "used", "a new or empty folder"),
        ("", "name of a folder"),
        (copied, "a new or empty folder"),
        (copied / "new", "outside the run"),
        (copied / "history" / "x" / "y", "outside the run"),
        (tmp_path / ("x" * 300), "File name too long"),
        (tmp_path / "used" / "mine.txt" / "x", "cannot be written"),
    ):
        with pytest.raises(UserError, match=message):
            unlearn(copied, quick("finetune"), out=out)
    (tmp_path / "empty").mkdir()
    for out in ("empty", "new/a/b"):
        assert unlearn(copied, quick("finetune"), out=tmp_path / out).directory.path == (
            tmp_path / out
        )
    assert (tmp_path / "used" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(method="fedupp"), "did you mean 'fedup'"),
        (dict(mask="all"), "mask"),
        (
            dict(method="not", mask="random"),
            "mask: .*with method not; it is for fedup.*got 'random'",
        ),
        (dict(method="retrain", recovery_rounds=3), "not allowed with method retrain.*got 3"),
        (dict(fraction=1.5), "fraction: .*got 1.5"),
        (dict(fraction="most"), "fraction: .*got 'most'"),
        (
            dict(method="fedup", stop="bound", recovery_rounds=3),
            "not allowed with stop bound.*got 3",
        ),
        (dict(method="not", stop="bound"), "stop: .*got 'bound'"),
        (dict(recovery_rounds=-1), "recovery_rounds: .*got -1"),
        (dict(method="finetune", recovery_rounds=0), "recovery_rounds: .*at least 1.*got 0"),
        (dict(rate_limit=-1), "rate_limit: .*got -1"),
        (dict(recovery_optimizer="adm"), "did you mean 'adam'"),
        (dict(recovery_lr=0), "recovery_lr"),
        (dict(forget=[]), "at least one"),
        (dict(forget=["client"]), "client:ID"),
        (dict(unlearn_seed=-2), "unlearn_seed"),
        (dict(methd="x"), "did you mean 'method'"),
        (dict(method="pga", ascent_stop=2), "ascent_stop"),
        (dict(method="not", negate=0), "negate: .*got 0"),
    ],
)
def test_settings_that_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        unlearn_settings(**values)


def test_too_many_kernels_to_negate(copied):
    with pytest.raises(UserError, match="negate: .*at most 2.*got 3"):
        unlearn(copied, quick("not", negate=3))


def test_data_that_are_not_the_runs(copied):
    stored = read_arrays(copied / "partition.npz")
    stored["rows"] = stored["rows"][::-1]
    np.savez(copied / "partition.npz", **stored)
    with pytest.raises(UserError, match="partition.npz does not match"):
        unlearn(copied, quick())


def test_damaged_notes(copied):
    got = unlearn(copied, quick("finetune"))
    whole = got.notes
    for broken in (
        "{",
        "[]",
        "null",
        json.dumps({**whole, "requests": [["client:0"]]}),
        json.dumps({**whole, "rounds_before": 10**30}),
        "[" * 100_000,
    ):
        got.directory.unlearning.write_text(broken)
        with pytest.raises(UserError, match="unlearning.json is damaged"):
            unlearn(got.directory.path, quick("finetune", forget=["class:1"]))
    again = unlearn(copied, quick("finetune"))  # not mistaken for a finished run
    assert again.new and again.directory.path.name == "run-finetune-2"
    (again.directory.model).unlink()
    assert unlearn(copied, quick("finetune")).directory.path.name == "run-finetune-3"


def test_the_rule_must_bear_those_who_remain(tmp_path):
    config = run_config(**{**SMALL, "rule": "krum", "byzantine": 1})
    train(config, out=tmp_path / "run")
    with pytest.raises(UserError, match="krum .*got n=4, f=1"):
        unlearn(tmp_path / "run", quick(reference=True))
    assert unlearn(tmp_path / "run", quick()).notes["rounds"] == 1


def test_an_interruption_can_be_gone_on_with(copied):
    def stop(line):
        raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        unlearn(copied, quick(), watch=Watch(round=stop))
    (begun,) = [p for p in copied.parent.iterdir() if p != copied]
    assert begun.name.startswith(".run-fedup.") and not (begun / "unlearning.json").exists()
    others = copied.parent / ".run-fedup.999999998"  # another program's, despite its name
    others.mkdir()
    (others / "mine.txt").write_text("keep")
    got = resume_unlearning(
        copied.with_name("run-fedup"),
        watch=Watch(resume=lambda left: seen.append(len(left.lines)), round=seen.append),
    )
    assert got.directory.path.name == "run-fedup" and not begun.exists() and seen == [1]
    assert (others / "mine.txt").read_text() == "keep"
    with pytest.raises(KeyboardInterrupt):  # the method has finished, the reference has not
        unlearn(copied, quick("not", reference=True), watch=Watch(reference_round=stop))
    assert not copied.with_name("run-retrain").exists()
    whole = resume_unlearning(copied.with_name("run-not"))
    assert not whole.new and whole.notes["measured"]["retrained"] is not None


def test_a_name_that_is_taken_meanwhile_loses_nothing(copied):
    def take(line):
        (copied.parent / "mine").mkdir(exist_ok=True)
        (copied.parent / "mine" / "file.txt").write_text("keep")

    with pytest.raises(UserError, match="mine cannot be written"):
        unlearn(copied, quick(), out=copied.parent / "mine", watch=Watch(round=take))
    (begun,) = [path for path in copied.parent.iterdir() if path.name.startswith(".mine.")]
    (copied.parent / "mine").rename(copied.parent / "theirs")
    again = []
    unlearn(copied, quick(), out=copied.parent / "mine", watch=Watch(round=again.append))
    assert again == [] and not begun.exists()


def test_nothing_is_left_of_what_never_began(copied):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unlearn(copied, quick(), watch=Watch(plan=stop))
    assert [p.name for p in copied.parent.iterdir()] == ["run"]
    with pytest.raises(UserError, match="no unlearning was begun at"):
        resume_unlearning(copied.with_name("run-fedup"))


def test_a_second_process_on_one_unlearning_is_refused(copied):
    refused = []

    def again(line):
        with pytest.raises(UserError, match="another process is making .*run-fedup; wait"):
            unlearn(copied, quick())
        refused.append(line)

    assert unlearn(copied, quick(), watch=Watch(round=again)).notes["rounds"] == len(refused) == 1


def test_the_new_run_lies_beside_the_run_however_it_is_named(copied, monkeypatch):
    for folder, name in (
        (copied / "history", ".."),
        (copied, "."),
        (copied.parent, "run/"),
        (copied.parent, "run/history/.."),
        (copied.parent, "link"),
    ):
        if name == "link":
            (copied.parent / "link").symlink_to("run")
        monkeypatch.chdir(folder)
        before = contents(copied)
        got = unlearn(name, quick("finetune"))
        assert got.directory.path.resolve().parent == copied.parent and contents(copied) == before
    assert sorted(path.name for path in copied.parent.iterdir()) == [
        "link",
        "run",
        "run-finetune",
    ]  # the same one each time, reused
    (copied.parent / "empty").mkdir()
    monkeypatch.chdir(copied.parent / "empty")
    with pytest.raises(UserError, match="outside the run, and not the working directory"):
        unlearn("../run", quick("finetune"), out=".")


def test_numbers_follow_the_whole_name_of_a_folder(copied):
    copied.rename(copied.with_name("lr0.001"))
    for number, client in enumerate((0, 1, 2), start=1):
        got = unlearn(copied.with_name("lr0.001"), quick("finetune", forget=[f"client:{client}"]))
        assert got.directory.path.name == "lr0.001-finetune" + (f"-{number}" if number > 1 else "")


@pytest.mark.parametrize(
    "change", [{"history_bytes": "big"}, {"history_sha256": 5}, {"round": 2.0}, {"round": True}]
)
def test_damaged_metrics_lines(copied, change):
    lines = (copied / "metrics.jsonl").read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), **change})
    (copied / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="line 2 of .*metrics.jsonl is damaged"):
        unlearn(copied, quick())


def test_damage_is_noticed_before_the_first_round(copied):
    file = copied / "history" / "round_00003.npz"
    file.write_bytes(file.read_bytes()[:-1])
    rounds = []
    with pytest.raises(UserError, match="round_00003.npz is damaged"):
        unlearn(copied, quick("federaser"), watch=Watch(round=rounds.append))
    assert rounds == []

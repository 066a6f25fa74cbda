"""History kept for unlearning, and the runs that it is read from."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from unlearn_cases import SMALL, quick

from tfunlearn.core.errors import UserError
from tfunlearn.core.files import checksum, read_arrays
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import unlearn
from tfunlearn.methods.source import open_source


def test_history_is_followed_back_through_runs(copied):
    first = unlearn(copied, quick("finetune", forget=["client:1"]))
    source = open_source(first.directory.path)
    assert source.history.rounds == [1, 2, 3, 4, 5] and source.rounds == 5
    second = unlearn(first.directory.path, quick("fedrecovery", forget=["client:2"]))
    third = unlearn(second.directory.path, quick("federaser", forget=["client:3"]))
    assert third.notes["report"]["history_rounds"] == [1, 2, 3, 4, 5]
    assert third.metrics[0]["participants"] == []  # no client trains in the first round
    for line in third.metrics[1:]:
        assert set(line["participants"]) == {0, 4, 5}
    assert open_source(third.directory.path).history.rounds == [1, 2, 3, 4, 5]  # its own
    kept = read_arrays(copied / "checkpoint.npz")
    for name in kept:  # another run at the same path is not followed
        kept[name] = kept[name] * 2
    np.savez(copied / "checkpoint.npz", **kept)
    assert open_source(first.directory.path).history.rounds == [5]
    shutil.rmtree(copied)
    assert open_source(first.directory.path).history.rounds == [5]
    with pytest.raises(UserError, match="every round, 1 to 5.*the run before it, .*run, is gone"):
        unlearn(first.directory.path, quick("fedrecovery", forget=["client:4"]))


def test_sampled_rounds_are_walked_back_to_both_groups(tmp_path):
    config = run_config(**{**SMALL, "rounds": 6, "participation": 2, "malicious": 1, "seed": 3})
    made = train(config, out=tmp_path / "run")
    sets = [line["participants"] for line in made.metrics]
    client = next(k for k in range(6) if k not in sets[-1] and any(k in s for s in sets))
    with pytest.raises(UserError, match="flagged clients and more benign ones.*--history"):
        unlearn(tmp_path / "run", quick(forget=[f"client:{client}"]))
    config = dataclasses.replace(
        config, training=dataclasses.replace(config.training, participation=3)
    )
    made = train(config, out=tmp_path / "three")
    sets = [line["participants"] for line in made.metrics]
    client = next(k for k in range(6) if k not in sets[-1] and any(k in s for s in sets))
    newest = max(n for n, s in enumerate(sets, start=1) if client in s)
    got = unlearn(tmp_path / "three", quick(forget=[f"client:{client}"]))
    assert got.notes["report"]["history_round"] == newest


@pytest.mark.parametrize(
    "history, kept",
    [
        ("last", [4]),
        ("all", [1, 2, 3, 4]),
        ("every=2", [1, 3, 4]),
        ("every=3", [1, 4]),
        ("none", None),
    ],
)
def test_what_a_run_keeps(tmp_path, history, kept):
    made = train(run_config(**{**SMALL, "history": history}), out=tmp_path / "run")
    folder = made.directory.history
    names = sorted(p.name for p in folder.iterdir()) if folder.exists() else None
    assert names == (None if kept is None else [f"round_{n:05d}.npz" for n in kept])
    if kept is None:
        for method, flag in (
            ("fedup", "last"),
            ("pga", "last"),
            ("federaser", "every=2"),
            ("fedrecovery", "all"),
        ):
            with pytest.raises(
                UserError, match=f"{method} needs .*kept no round; train with --history {flag}"
            ):
                unlearn(tmp_path / "run", quick(method))
        assert unlearn(tmp_path / "run", quick("finetune")).metrics[0]["round"] == 1
        return
    source = open_source(tmp_path / "run")
    assert source.history.rounds == kept
    last, size = source.history.read(4), made.model.count_params()
    assert last.updates.shape == (6, size) and last.updates.dtype == np.float32
    step = np.average(last.updates.astype(np.float64), axis=0, weights=last.examples)
    start = 0
    for before, after in zip(last.weights, made.model.get_weights()):
        moved = step[start : start + before.size].reshape(before.shape)
        np.testing.assert_allclose(before + moved, after, atol=1e-6)
        start += before.size
    if history != "all":
        with pytest.raises(UserError, match="every round, 1 to 4; this run has kept .*--history"):
            unlearn(tmp_path / "run", quick("fedrecovery"))


def test_history_defaults():
    assert run_config().history.text == "none" and not run_config().gathers
    assert run_config(attack="label-flip").history.text == "last"
    assert run_config(attack="label-flip").gathers
    assert run_config(attack="label-flip", malicious=0).history.text == "none"
    assert run_config(attack="label-flip", gather=False).history.text == "none"
    assert run_config(history="every=3").gathers
    for text in ("every=0", "every", "some", "every=-1", "every=1.5"):
        with pytest.raises(UserError, match="history: .*every=K"):
            run_config(history=text)
    with pytest.raises(UserError, match="gather: .*since history needs every update; got False"):
        run_config(history="last", gather=False)


def test_a_damaged_history_file_is_named_with_its_checksum(kept_run, copied):
    file = copied / "history" / "round_00004.npz"
    named = kept_run.metrics[-1]["history_sha256"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError) as error:
        unlearn(copied, quick())
    assert str(file) in str(error.value) and checksum(file)[:16] in str(error.value)
    assert named[:16] in str(error.value) and "\n" not in str(error.value)
    for method in ("federaser", "fedrecovery", "pga"):
        with pytest.raises(UserError, match="round_00004.npz"):
            unlearn(copied, quick(method))
    file.write_bytes(content[:1000])
    with pytest.raises(UserError, match="damaged: its SHA-256"):
        unlearn(copied, quick())
    file.unlink()
    with pytest.raises(UserError, match="round_00004.npz is missing; metrics.jsonl names it"):
        unlearn(copied, quick())
    assert [p.name for p in copied.parent.iterdir()] == ["run"]  # no partial result

"""Errors, seeds, vectors, schedules, client sets and files."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError, choose, refuse, require, require_fraction
from tfunlearn.core.files import (
    checksum,
    first_free,
    locked,
    naming,
    read_arrays,
    replacing,
    write_arrays,
    write_json,
)
from tfunlearn.core.lazy import require_installed
from tfunlearn.core.schedules import at, between, every, schedule_config, schedule_of
from tfunlearn.core.seeds import generator, integers
from tfunlearn.core.vectors import from_vector, to_vector


def test_a_library_that_is_missing_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="tensorflow-federated is not installed; run: pip install"):
        require_installed("tensorflow_federated")


def test_choose_names_the_nearest_member():
    assert choose("model", "b", {"a": 1, "b": 2}) == 2
    with pytest.raises(UserError, match="model: unknown name 'lenet6'; did you mean 'lenet5'?"):
        choose("model", "lenet6", {"lenet5": 1, "mlp": 2})
    with pytest.raises(UserError, match=r"known: lenet5, mlp\)") as error:
        choose("model", "xyz", {"lenet5": 1, "mlp": 2})
    assert "did you mean" not in str(error.value) and "\n" not in str(error.value)


def test_messages_say_what_must_hold_and_what_was_received():
    require("clip", 1.0, True, "a number > 0")
    refuse("clip", None, True, "with rule krum")
    with pytest.raises(UserError) as error:
        require("clip", -1.0, False, "a number > 0")
    assert str(error.value) == "clip: must be a number > 0; got -1.0"
    with pytest.raises(UserError) as error:
        refuse("worker", ["a:1"], False, "except with a training")
    assert str(error.value) == "worker: not allowed except with a training; got ['a:1']"


@pytest.mark.parametrize("value", [1, -0.1, 1.01, float("nan"), True, "0.1", None])
def test_fractions_out_of_range_are_refused(value):
    with pytest.raises(UserError, match="fraction"):
        require_fraction("fraction", value)


def test_fractions_from_nothing_to_less_than_all():
    assert [require_fraction("fraction", value) for value in (0, 0.5, np.float32(0.25))] == [
        0.0,
        0.5,
        0.25,
    ]


def test_generators_depend_on_seed_purpose_and_numbers_only():
    draw = lambda *key: generator(*key).integers(0, 2**32, 4).tolist()
    assert draw(1, "shuffle", 2, 3) == draw(1, "shuffle", 2, 3)
    others = [
        draw(2, "shuffle", 2, 3),
        draw(1, "partition", 2, 3),
        draw(1, "shuffle", 3, 2),
        draw(1, "shuffle", 2),
    ]
    assert all(other != draw(1, "shuffle", 2, 3) for other in others)
    seeds = integers(5, "random layers", 1, count=3)
    assert seeds.dtype == np.int32 and (seeds >= 0).all() and len(set(seeds.tolist())) == 3


def test_vectors_and_lists_are_inverse(rng):
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in [(2, 3), (), (4,), (1, 2, 2)]]
    vector = to_vector(arrays)
    assert vector.shape == (15,) and vector[:6].tolist() == arrays[0].reshape(-1).tolist()
    for before, after in zip(arrays, from_vector(vector, [a.shape for a in arrays])):
        np.testing.assert_array_equal(before, after)
    with pytest.raises(ValueError, match="does not fit"):
        from_vector(vector, [(2, 3)])
    assert to_vector([]).shape == (0,) and from_vector(np.zeros(0), []) == []


def test_schedules():
    assert [r for r in range(1, 31) if every(5)(r)] == [1, 6, 11, 16, 21, 26]
    assert [r for r in range(1, 12) if every(4, start=3)(r)] == [3, 7, 11]
    assert [r for r in range(1, 9) if between(3, 5)(r)] == [3, 4, 5]
    assert between(3)(10**6) and not between(3)(2)
    assert [r for r in range(9) if at(2, 7)(r)] == [2, 7]


@pytest.mark.parametrize("schedule", [every(5), every(2, start=3), between(3), at(1, 4)])
def test_schedules_survive_json(schedule):
    config = json.loads(json.dumps(schedule_config(schedule)))
    assert schedule_of(config) == schedule


def test_schedules_of_ones_own_stand_as_they_are():
    own = lambda number: number > 3
    assert schedule_of(schedule_config(own)) is own
    with pytest.raises(UserError, match="did you mean 'every'"):
        schedule_of({"name": "evry"})
    with pytest.raises(UserError, match="period: .*got 0"):
        every(0)


def test_client_set_keeps_each_client_together():
    images = np.arange(6).reshape(6, 1, 1, 1).astype(np.uint8)
    clients = ClientSet.from_partition(
        images, np.array([0, 1, 2, 0, 1, 2]), [np.array([4, 0]), np.array([5]), np.array([1, 3, 2])]
    )
    assert len(clients) == 3 and clients.sizes.tolist() == [2, 1, 3]
    assert clients.features[clients.rows(2)].ravel().tolist() == [1, 3, 2]
    assert clients.class_histogram(3).tolist() == [[1, 1, 0], [0, 0, 1], [1, 1, 1]]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(RuntimeError):
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
    assert path.read_text() == '{\n  "x": 1\n}\n' and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error, message",
    [
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device: 'file'"),
        (OSError(2, "No such file", "other"), "[Errno 2] No such file: 'other'"),
        (TimeoutError("The read operation timed out"), "The read operation timed out"),
    ],
)
def test_errors_of_the_file_system_name_a_path_and_all_keep_their_message(error, message):
    with pytest.raises(OSError) as raised:
        with naming("file"):
            raise error
    assert str(raised.value) == message


def test_arrays_round_trip_without_pickle(tmp_path, rng):
    arrays = {"a": rng.normal(size=(2, 3)).astype(np.float32), "b": np.int64(3)}
    sha = write_arrays(tmp_path / "a.npz", arrays)
    assert sha == checksum(tmp_path / "a.npz")
    read = read_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(read["a"], arrays["a"])
    np.savez(tmp_path / "b.npz", a=np.array([object()]))
    with pytest.raises(ValueError, match="pickle"):
        read_arrays(tmp_path / "b.npz")


def test_first_free_numbers_what_is_taken(tmp_path):
    for name in ("x.png", "x-2.png"):
        (tmp_path / name).touch()
    assert first_free(tmp_path / "x.png", lambda p: p.exists()).name == "x-3.png"


def test_what_a_killed_writer_left_goes_with_the_next_lock_on_its_folder(tmp_path):
    """At any depth; what a living process writes, and the user's files, stay."""
    die = (
        "import os, sys; from tfunlearn.core.files import replacing\n"
        "with replacing(sys.argv[1]) as path: path.touch(); os.kill(os.getpid(), 9)"
    )
    (tmp_path / "history").mkdir()
    for name in ("notes.json", "history/round_00006.npz", "history/without_suffix"):
        subprocess.run([sys.executable, "-c", die, str(tmp_path / name)])
    assert len(list(tmp_path.rglob(".*"))) == 3
    for name in (".config.v2.toml", ".notes.1234567.txt", "history/.keep", "a.1234567.npz"):
        (tmp_path / name).touch()
    with replacing(tmp_path / "mine.npz") as mine:
        mine.touch()
        with locked(tmp_path / ".lock", "busy"):
            assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == sorted(
                [
                    ".config.v2.toml",
                    ".notes.1234567.txt",
                    ".lock",
                    mine.name,
                    "a.1234567.npz",
                    "history",
                    "history/.keep",
                ]
            )

"""Parameter grids, and sweeps that resume after an interruption."""

from __future__ import annotations

import csv
import json

import pytest

from tfunlearn.config.legacy import RUN_FIELDS
from tfunlearn.core.errors import UserError
from tfunlearn.sweeps import cells as sweep_cells
from tfunlearn.sweeps import sweep as sweep_module
from tfunlearn.sweeps.grid import Cell
from tfunlearn.sweeps.grid_reading import read_grid, ready_grids
from tfunlearn.sweeps.sweep import published_figures, sweep

GRID = """
title = "small"
seeds = [0, 1]
over = "attacked"
[fixed]
train_examples = 150
clients = 5
malicious = 1
rounds = 2
byzantine = 1
[grid]
rule = ["mean", "median"]
attack = ["none", ["label-flip", "boost"]]
"""


@pytest.fixture
def grid(tmp_path):
    def write(text):
        (tmp_path / "grid.toml").write_text(text)
        return read_grid(str(tmp_path / "grid.toml"))

    return write


def test_a_grid_is_rows_columns_and_seeds(grid):
    made = grid(GRID)
    cells = made.cells()
    assert [row.label for row in made.rows] == ["mean", "median"]
    assert [column.label for column in made.columns] == ["no attack", "label-flip + boost"]
    assert len(cells) == 8 and [cell.seed for cell in cells] == [0] * 4 + [1] * 4
    assert cells[3].config.aggregation.rule == "median"
    assert cells[3].config.attack.attack == ("label-flip", "boost")
    assert cells[0].config.training.rounds == 2 and cells[4].config.seed == 1
    assert made.cells(rounds=7)[0].config.training.rounds == 7


def test_lists_of_row_and_column_add_up(grid):
    made = grid("""
[[rows]]
label = "rejecting"
defense = ["err", "lfr"]
[[columns]]
label = "pruned"
defense = "flap"
""")
    assert made.cells()[0].config.defense.defense == ("err", "lfr", "flap")
    assert made.cells()[0].config.defense.rejection[0].name == "union"


def test_the_key_is_of_all_that_decides_the_run(grid):
    cells = grid(GRID).cells()
    assert len({cell.key for cell in cells}) == 8
    moved = grid(GRID).cells(data_dir="/elsewhere")
    assert [cell.key for cell in moved] == [cell.key for cell in cells]
    base = {**RUN_FIELDS, **cells[1].config.flat()}
    keys = {cells[1].key}
    from tfunlearn.experiment import run_config

    for name, value in (
        ("clip", None),
        ("lr", 0.5),
        ("attack_scale", None),
        ("strict", False),
        ("bucket_size", 3),
        ("trigger_size", 4),
        ("knowledge", "full"),
    ):
        changed = Cell("a", "b", 0, run_config(**{**base, name: value})).key
        assert (changed in keys) == (base[name] == value)
        keys.add(changed)


def test_a_sweep_runs_resumes_and_writes_tables(grid, tmp_path, monkeypatch):
    made, out, seen = grid(GRID), tmp_path / "out", []

    class Stop(Exception):
        pass

    def stop(cell, line):
        if len(seen) == 2:
            raise Stop

    with pytest.raises(Stop):
        sweep(made, out, on_cell=seen.append, on_round=stop)
    assert [result.new for result in seen] == [True, True]
    assert len(list((out / "runs").iterdir())) == 3  # the third was interrupted
    again = []
    matrices = sweep(made, out, on_cell=again.append)
    assert [result.new for result in again] == [False] * 2 + [True] * 6
    assert [result.values for result in again[:2]] == [result.values for result in seen]
    names = {path.name for path in out.iterdir()}
    assert names == {".lock", "sweep.json", "results", "runs", "cells.csv"} | {
        f"{measure}.{kind}"
        for measure in ("test_accuracy", "attack_success", "source_error")
        for kind in ("csv", "tex", "png")
    }
    rows = list(csv.DictReader((out / "cells.csv").open()))
    assert len(rows) == 8 and rows[3]["row"] == "median" and rows[3]["seed"] == "0"
    accuracy, success, error = matrices  # source-class error is next to attack success
    assert (success.measure, error.measure) == ("attack_success", "source_error")
    values = [
        float(row["test_accuracy"])
        for row in rows
        if (row["row"], row["column"]) == ("median", "no attack")
    ]
    assert accuracy.mean("median", "no attack") == pytest.approx(sum(values) / 2, abs=1e-6)
    # attacked cell: mean over the attacked rounds; benign cell: last round
    stored = json.loads((out / "results" / f"{rows[1]['key']}.json").read_text())
    expected = sum(line["attack_success"] for line in stored["metrics"]) / 2
    assert float(rows[1]["attack_success"]) == pytest.approx(expected, abs=1e-6)
    stored = json.loads((out / "results" / f"{rows[0]['key']}.json").read_text())
    assert float(rows[0]["attack_success"]) == pytest.approx(
        stored["metrics"][-1]["attack_success"], abs=1e-6
    )

    monkeypatch.setattr(sweep_cells, "train", None)  # nothing remains to train
    third = []
    sweep(made, out, on_cell=third.append)
    assert not any(result.new for result in third)
    result = out / "results" / f"{rows[0]['key']}.json"
    whole = result.read_text()
    for content in ("{}", "[" * 100_000, whole.replace('"seconds": ', '"seconds": 1'), "5"):
        result.write_text(content)
        with pytest.raises(UserError, match=f"{rows[0]['key']}.json is damaged"):
            sweep(made, out)


def test_two_sweeps_do_not_share_a_folder_and_others_folders_are_left(grid, tmp_path):
    made = grid(GRID)
    with sweep_module._claim_folder(tmp_path / "out", made, {}):
        with pytest.raises(UserError, match="another sweep is running"):
            sweep(made, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep")
    with pytest.raises(UserError, match="is in use and no sweep"):
        sweep(made, tmp_path / "mine")
    (tmp_path / "mine" / "sweep.json").write_text("my own notes")
    with pytest.raises(UserError, match="is in use and no sweep"):
        sweep(made, tmp_path / "mine")
    assert (tmp_path / "mine" / "sweep.json").read_text() == "my own notes"
    with pytest.raises(UserError, match="out: .*got ''"):
        sweep(made, "")


def test_a_stopped_sweep_loses_nothing_to_a_users_mistake(grid, tmp_path, monkeypatch):
    made = grid(GRID)

    def stop(cell, line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(made, tmp_path / "out", on_round=stop)
    (begun,) = (tmp_path / "out" / "runs").iterdir()
    before = (begun / "metrics.jsonl").read_bytes()

    def gone(*_, **__):
        raise UserError("data: nothing there")

    with monkeypatch.context() as patched:
        patched.setattr("tfunlearn.training.federation.load_data", gone)
        with pytest.raises(UserError, match="data: nothing there"):
            sweep(made, tmp_path / "out")
    assert (begun / "metrics.jsonl").read_bytes() == before and before.count(b"\n") == 1


def test_what_only_the_data_show_names_the_cell_and_leaves_no_folder(grid, tmp_path):
    made = grid(
        GRID.replace('"boost"', '"boost"').replace("[fixed]", "[fixed]\nvalidation_examples = 5000")
    )
    with pytest.raises(
        UserError, match="cell 'mean' / 'no attack': validation_examples: .*got 5000"
    ):
        sweep(made, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep").exists()


def test_published_figures_are_looked_up_before_any_cell_runs(grid, tmp_path):
    text = (
        "[[rows]]\nlabel = 'x'\npublished = {mode = 'perfect'}\n[[columns]]\nlabel = 'y'\n"
        "[published]\ntable = '%s'\nvalue = '%s'\nscale = 1\nmeasure = 'test_accuracy'\n"
    )
    for table, value, message in (
        ("nope", "x", "a table of data/published"),
        ("flap_table1", "nope", "no column"),
        ("flap_table1", "attack", "no column of numbers"),
    ):
        rows = (
            text
            if value != "attack"
            else text.replace(
                "mode = 'perfect'",
                "aggregation = 'fedavg', attack = 'label-flip', defense = 'none'",
            )
        )
        if value == "nope":
            rows = rows.replace("mode =", "mod =")
        with pytest.raises(UserError, match=message):
            sweep(grid(rows % (table, value)), tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_an_axis_that_is_not_in_the_grid_stays_as_fixed(grid):
    made = grid("[fixed]\nrule = 'krum'\ndefense = 'flap'\n[grid]\nattack = ['none', 'ipm']\n")
    configs = [cell.config for cell in made.cells()]
    assert {config.aggregation.rule for config in configs} == {"krum"}
    assert [config.attack.attack for config in configs] == [(), ("ipm",)]
    assert [row.label for row in made.rows] == ["as fixed"]
    made = grid("[fixed]\nattack = 'ipm'\n[grid]\nrule = ['mean']\n")
    assert made.cells()[0].config.attack.attack == ("ipm",)


def test_another_model_file_is_another_cell(tmp_path):
    from tfunlearn.experiment import run_config

    cell = Cell("a", "b", 0, run_config(model=str(tmp_path / "m.keras")))
    keys = set()
    for content in (b"one", b"two"):
        (tmp_path / "m.keras").write_bytes(content)
        keys.add(cell.key)
    assert len(keys) == 2


@pytest.mark.parametrize(
    "text, message",
    [
        ("seedz = [1]\n" + GRID.replace("seeds", "#"), "unknown key 'seedz'; did you mean 'seeds'"),
        (GRID.replace("[0, 1]", "[0, 0]"), "seeds: .* different whole numbers"),
        (GRID.replace("[0, 1]", "[-1]"), "seeds"),
        (GRID.replace("[0, 1]", "[]"), "seeds"),
        (GRID.replace('over = "attacked"', 'over = "first"'), "over: unknown name 'first'"),
        (GRID.replace("title", 'measures = ["acc"]\ntitle'), "measures: unknown name 'acc'"),
        (GRID.replace("rounds", "roundz"), "fixed: unknown field 'roundz'; did you mean 'rounds'"),
        (GRID.replace("rounds = 2", "seed = 2"), "seeds are a list at the top"),
        (GRID.replace('rule = ["mean", "median"]', 'rule = "mean"'), "grid: .*lists of rule"),
        (GRID.replace("[grid]", "[grid]\nlr = [1]"), "lists of rule, defense, attack or method"),
        (GRID + "[[rows]]\nlabel = 'x'\n", "grid: not allowed with rows or columns.*rows"),
        ("[[rows]]\nlabel = 'x'\n", "columns: .*got None"),
        ("fixed = [1]\n[grid]\nrule = ['krum']\n", "fixed: must be a table.*got .1."),
        (
            "[[rows]]\nlabel = 'x'\nrule = 3\n[[columns]]\nlabel = 'y'\n",
            "x: rule: must be a name; got 3",
        ),
        ("[[rows]]\nrule = 'mean'\n[[columns]]\nlabel = 'x'\n", "rows: .* each with a label"),
        (
            "[[rows]]\nlabel = 'x'\n[[rows]]\nlabel = 'x'\n[[columns]]\nlabel = 'y'\n",
            "different labels",
        ),
        (
            "[[rows]]\nlabel = 'x'\nrule = 'krum'\n[[columns]]\nlabel = 'y'\nrule = 'mean'\n",
            "rule is set by row 'x' and by column 'y'",
        ),
        (
            "[[rows]]\nlabel = 'x'\nrule = 'bulyan'\nbyzantine = 3\n[[columns]]\nlabel = 'y'\n",
            "cell 'x' / 'y': rule: bulyan .*got n=10, f=3",
        ),
        (GRID + "[published]\ntable = 'x'\n", "a table with table, value, scale and measure"),
        (GRID.replace("[fixed]", "[fixed]\nrule = 'krum'"), "grid: .*not in fixed; got 'rule'"),
        (
            GRID.replace('["mean", "median"]', '["mean", 3]'),
            "grid: rule: .* a name or a list.*got 3",
        ),
        (GRID.replace('["mean", "median"]', '[["mean", "median"]]'), "rule: must be .*got "),
        (
            GRID.replace("[grid]", "before = 3\n[grid]"),
            "fixed: before: .* a name or a list of names; got 3",
        ),
        (GRID.replace('title = "small"', "title = nan"), "title: .* text; got nan"),
        (GRID.replace("title", "measures = 5\ntitle"), "measures: .* a list of.*got 5"),
        (GRID.replace("title", "measures = []\ntitle"), "measures: .* a list of"),
        (GRID.split("[grid]")[0] + "[grid]\n", "grid: .*got {}"),
        ("[[rows]]\nlabel = 'x'\nseed = 3\n[[columns]]\nlabel = 'y'\n", "x: .*got 'seed'"),
        ("[[rows]]\nlabel = ' '\n[[columns]]\nlabel = 'y'\n", "each with a label"),
        (
            "[[rows]]\nlabel = 'x'\npublished = 3\n[[columns]]\nlabel = 'y'\n",
            "x: published: .*got 3",
        ),
    ],
)
def test_mistakes_in_a_grid(grid, text, message):
    with pytest.raises(UserError, match=message):
        grid(text).cells()


def test_ready_grids_are_valid_and_know_their_published_figures():
    assert ready_grids() == [
        "ablation-channel-cifar10",
        "ablation-channel-controls",
        "ablation-channel-mnist",
        "ablation-channel-one-class",
        "fedup-claims",
        "flap-digits",
        "flap-regime",
        "flap-table1",
        "robustness-digits",
    ]
    table = read_grid("flap-table1")
    assert len(table.cells()) == 13 * 6 * len(table.seeds)
    figures = published_figures(table)
    assert len(figures) == 13 * 6 and figures["FedAvg", "flip"] == pytest.approx(0.308)
    assert figures["TM, perfect", "flip, FLAP"] == pytest.approx(0.175)
    assert figures["MK + ERR + LFR, radical", "full, FLAP"] == pytest.approx(0.179)
    cells = {(cell.row, cell.column): cell.config for cell in table.cells() if cell.seed == 0}
    assert cells["TM, radical", "full"].update_attack[0].name == "fang-trim"
    assert cells["MK, radical", "full"].update_attack[0].name == "fang-krum"
    assert cells["MK + ERR + LFR, radical", "flip, FLAP"].defense.defense == ("err", "lfr", "flap")
    assert cells["TM, radical", "flip"].aggregator.f(20) == 6
    assert len(read_grid("robustness-digits").cells()) == 300
    with pytest.raises(UserError, match="did you mean 'flap-table1'"):
        read_grid("flap-table")
    with pytest.raises(UserError, match="cannot be read"):
        read_grid("missing.toml")


def test_cells_that_unlearn_share_their_training_and_reference(grid, tmp_path):
    made = grid("""
measures = ["forget_gap", "test_accuracy", "rounds"]
[fixed]
train_examples = 150
clients = 5
malicious = 1
rounds = 2
attack = "label-flip"
forget = "malicious"
[[rows]]
label = "one"
[[columns]]
label = "before"
method = "none"
[[columns]]
label = "retrained"
method = "retrain"
[[columns]]
label = "fedup"
method = "fedup"
fraction = 0.1
stop = "bound"
""")
    done = []
    matrices = sweep(made, tmp_path / "out", on_cell=done.append)
    runs = sorted(path.name for path in (tmp_path / "out" / "runs").iterdir())
    assert len(runs) == 3 and runs[1:] == [f"{runs[0]}-fedup", f"{runs[0]}-retrain"]
    values = {result.cell.column: result.values for result in done}
    assert values["before"]["forget_gap"] is None and values["retrained"]["forget_gap"] == 0
    notes = json.loads((tmp_path / "out" / "runs" / runs[1] / "unlearning.json").read_text())
    after, retrained = notes["measured"]["after"], notes["measured"]["retrained"]
    assert values["fedup"]["forget_gap"] == pytest.approx(
        after["forget_accuracy"] - retrained["forget_accuracy"]
    )
    assert values["fedup"]["rounds"] == values["fedup"]["bound"] == 1
    assert values["before"]["forget_accuracy"] == notes["measured"]["before"]["forget_accuracy"]
    assert matrices[0].text("one", "before") == "-"
    again = []
    sweep(made, tmp_path / "out", on_cell=again.append)
    assert not any(result.new for result in again)


@pytest.mark.parametrize(
    "values, message",
    [
        ('forget = "malicious"', "method: .*got None"),
        ('method = "fedupp"', "did you mean 'fedup'"),
        ('method = "not"\nmask = "random"', "not allowed with method not"),
        ('method = "fedup"\nforget = "x"', "forget: .*got 'x'"),
    ],
)
def test_mistakes_in_what_a_cell_unlearns(grid, values, message):
    with pytest.raises(UserError, match=f"cell 'mean' / 'no attack': .*{message}"):
        grid(GRID.replace("[grid]", f"{values}\n[grid]")).cells()


def test_a_failed_unlearning_has_no_figures(grid, tmp_path):
    made = grid("""
measures = ["forget_accuracy", "rounds"]
seeds = [0]
[fixed]
train_examples = 240
clients = 6
rounds = 4
lr = 3e-3
forget = ["client:0"]
reference = false
[[rows]]
label = "ruin"
method = "memorization"
ratio = 1.0
reset_rule = "zeros"
recovery_rounds = 5
[[rows]]
label = "fine"
method = "finetune"
recovery_rounds = 2
[[columns]]
label = "c"
""")
    seen = []
    for _ in range(2):  # first run, then reused
        forget, _ = sweep(made, tmp_path / "out", on_cell=seen.append)
        assert forget.text("ruin", "c") == "1 of 1 failed" and forget.text("fine", "c") != "-"
    assert [(r.state, r.values["rounds"]) for r in seen[:2]] == [("failed", None), ("ok", 2.0)]
    assert [r.state for r in seen[2:]] == ["failed", "ok"]
    rows = list(csv.DictReader((tmp_path / "out" / "cells.csv").open()))
    assert rows[0]["state"] == "failed" and rows[0]["forget_accuracy"] == ""

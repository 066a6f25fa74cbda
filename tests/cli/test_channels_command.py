"""`tfunlearn channels`, and the output of `tfunlearn unlearn` on channels."""

from __future__ import annotations

import csv
import json
import re

import pytest


def test_table_picture_and_csv(call, trained):
    code, out, err = call(
        "channels",
        "run",
        "--class",
        "1",
        "--delta",
        "0.1",
        "--layer",
        "conv_1",
        "--layer",
        "logits",
        "--prune",
        "--plot",
        "effects.png",
        "--csv",
        "effects.csv",
    )
    assert (code, err) == (0, "") and "\x1b" not in out
    assert (trained / "effects.png").read_bytes()[:4] == b"\x89PNG"
    with open(trained / "effects.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == ["conv_1"] * 6 + ["logits"] * 10
    largest = max(float(row["forget_effect"]) for row in rows if row["layer"] == "logits")
    assert f"{largest:.4f}" in out and "logits        unimportant" in out
    assert sum(int(row["selected"]) for row in rows) == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--class", 1, "--delta", 0], "delta: .*got 0.0"),
        (["--class", 1, "--delta", 1.1], "delta: .*got 1.1"),
        (["--class", 1, "--layer", "conv"], "no Conv or Dense layer 'conv'"),
        (["--class", 11], "class: .*0 to 9; got 11"),
        ([], "no client of this run is malicious"),
        (["--class", 1, "--channel", "all"], "channel: unknown name 'all'"),
        (["--class", 1, "--probe", 0], "probe: .*got 0"),
        (["--class", 1, "--plot", "run/config.json/x.png"], "plot: .*a folder that exists"),
        (["--class", 1, "--plot", "run/curves.png"], "a new file; this one exists"),
        (["--class", 1, "--plot", "effects.pdf"], "plot: .*ends in .png.*got 'effects.pdf'"),
        (["--class", 1, "--csv", "run/config.json"], "a file name that ends in .csv"),
        (["--class", 1, "--csv", ""], "csv: .*got ''"),
        (["--class", 1, "--csv", "no/x.csv"], "that exists"),
    ],
)
def test_mistakes_are_one_line(call, arguments, message):
    code, out, err = call("channels", "run", *arguments)
    assert code == 2 and re.search(message, err) and err.count("\n") == 1 and "Traceback" not in err


def test_a_finished_run_is_found_in_the_folder_that_is_named(call, trained):
    asked = (
        "unlearn",
        "run",
        "--method",
        "finetune",
        "--class",
        2,
        "--recovery-rounds",
        1,
        "--no-reference",
        "--out",
        "named",
    )
    assert call(*asked)[0] == 0
    code, out, err = call(*asked)
    assert (code, err) == (0, "") and "found     named, an earlier unlearning" in out
    code, _, err = call(*(value if value != 2 else 3 for value in asked))
    assert code == 2 and re.search("out: .*got 'named'", err)


def test_unlearning_says_what_is_kept_and_how_fine_the_probe_is(call, trained):
    with pytest.warns(UserWarning) as warned:  # the program prints them in one line
        code, out, err = call(
            "unlearn",
            "run",
            "--method",
            "ablation-channel",
            "--class",
            1,
            "--recovery-rounds",
            1,
            "--no-reference",
        )
    report = json.loads((trained / "run-ablation-channel" / "unlearning.json").read_text())[
        "report"
    ]
    assert "decentralized; important channels, 14 of 236 in 5 layers" in out
    assert f"{report['perturbation']['examples']} examples to be forgotten stay in use" in out
    step = 1 / report["probe"]["examples"]
    assert (code, err) == (0, "") and "extension" not in out
    assert (
        f"probe: effects of {report['probe']['examples']} examples are multiples of {step:.3g}; in "
        in str(warned[0].message)
    )
    assert "test accuracy, forgotten classes" in out


def test_the_extension_is_marked(call):
    code, out, _ = call(
        "unlearn",
        "run",
        "--method",
        "ablation-channel",
        "--client",
        1,
        "--mode",
        "centralized",
        "--recovery-rounds",
        1,
        "--no-reference",
    )
    assert code == 0
    assert "extension the paper forgets whole classes; client: by the same steps" in out
    assert "240 samples drawn from the clients' training data" in out


def test_presets(call, trained):
    code, out, err = call(
        "unlearn",
        "run",
        "--preset",
        "ablation-channel-mnist-one-class",
        "--recovery-rounds",
        1,
        "--no-reference",
        "--out",
        "preset",
    )
    assert (code, err) == (0, "")
    notes = json.loads((trained / "preset" / "unlearning.json").read_text())
    assert notes["settings"]["delta"] == 0.2 and notes["settings"]["recovery_lr"] == 0.1
    assert notes["requests"] == [["class:1"]]
    code, *_ = call(
        "unlearn",
        "run",
        "--preset",
        "ablation-channel-mnist-one-class",
        "--method",
        "finetune",
        "--recovery-rounds",
        1,
        "--no-reference",
        "--out",
        "other",
    )
    assert code == 0
    notes = json.loads((trained / "other" / "unlearning.json").read_text())
    assert notes["method"] == "finetune" and notes["requests"] == [["class:1"]]
    code, _, err = call("train", "--preset", "ablation")
    assert code == 2 and "ablation-channel-cifar10-resnet20" in err
    code, out, _ = call(
        "train",
        "--preset",
        "ablation-channel-mnist-one-class",
        "--dataset",
        "digits",
        "--train-examples",
        200,
        "--rounds",
        1,
        "--out",
        "trained",
    )
    config = json.loads((trained / "trained" / "config.json").read_text())
    assert code == 0 and config["partition"] == "classes" and config["lr"] == 0.1

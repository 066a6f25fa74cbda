"""The claims about ablation-channel unlearning, from sweeps, also unfinished ones.

Run: .venv/bin/python tests/benchmarks/ablation_channel_claims.py OUT DIR...

Each DIR is the folder of `tfunlearn sweep ablation-channel-cifar10`, `-mnist` or `-one-class` (its
name ends in the grid's). Writes into OUT, for each: `<grid>_curves.png`, accuracy on the forgotten
class and on the others after every epoch (Figures 7 to 9 of the paper), `<grid>_delta.png` (Figure
12) and `<grid>.csv`, one line for each seed, column and epoch. Prints Markdown tables: accuracies
and costs (Table 4), means over the seeds, beside the published figures; with --prune also Table 3,
which measures the trained runs again.
"""

from __future__ import annotations

import argparse
import csv
import json
import pathlib
import statistics

import tfunlearn  # noqa: F401  (quiets TensorFlow)
from tfunlearn.report.figures import save_figure
from tfunlearn.sweeps.grid_reading import read_grid
from tfunlearn.workflows.channels import study_channels

PUBLISHED = pathlib.Path(__file__).resolve().parents[2] / "data" / "published"
SHOWN = {"CE": "C0", "DE": "C2", "DE-random": "C1", "CDP": "C4", "FedEraser": "C5", "retrain": "C7"}
TABLE3 = {
    "stage3_block3_1_conv": "block_2.conv_bn1.conv",
    "stage3_block3_2_conv": "block_2.conv_bn2.conv",
}
PARTS = {"forget_test_accuracy": "forgotten class", "remain_test_accuracy": "other classes"}


def read(folder: pathlib.Path) -> list[dict]:
    """Returns, for every finished unlearning of a sweep, its label, seed, notes and epochs."""
    found, notes = [], []
    for path in folder.glob("runs/*/unlearning.json"):
        lines = path.with_name("metrics.jsonl").read_text().splitlines()
        notes.append((json.loads(path.read_text()), [json.loads(line) for line in lines]))
    for cell in read_grid(folder.name.removeprefix("sweep-")).cells():
        for note, lines in notes:
            if (
                not cell.measures_only
                and note["settings"] == cell.unlearning.chosen()
                and (pathlib.Path(note["source"]).name == cell.training_key)
            ):
                found.append(
                    dict(
                        label=cell.column,
                        seed=cell.seed,
                        notes=note,
                        config=cell.config,
                        epochs=epochs_of(cell, note, lines),
                    )
                )
    return found


def epochs_of(cell, notes: dict, lines: list[dict]) -> list[tuple[float, dict]]:
    """Returns pairs of local epochs so far and metrics, the start included."""
    each = notes["settings"].get("recovery_epochs") or cell.config.training.local_epochs
    if notes["report"].get("mode") == "centralized":
        each = 1
    each = notes["report"].get("local_epochs", each)
    start = notes["measured"]["start" if notes["restarts"] else "before"]
    return [(0, start), *((each * line["round"], line) for line in lines)]


def curves(runs: list[dict], labels: list[str], path: pathlib.Path, title: str) -> None:
    """Draws both accuracies over the epochs, a line for each label and seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, (name, part) in zip(figure.subplots(1, 2), PARTS.items()):
        for place, label in enumerate(labels):
            color = SHOWN.get(label, f"C{place}")
            for number, run in enumerate(r for r in runs if r["label"] == label):
                axes.plot(
                    [epoch + 1 for epoch, _ in run["epochs"]],
                    [line[name] for _, line in run["epochs"]],
                    color=color,
                    lw=1.2,
                    alpha=0.8,
                    label=None if number else label,
                )
        axes.set_xscale("log", base=2)
        axes.set(xlabel="epochs + 1", ylabel="test accuracy", title=part, ylim=(-0.02, 1.02))
        axes.legend(frameon=False, fontsize="small")
    figure.suptitle(title)
    save_figure(figure, path)


def mean(values) -> str:
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


def summary(runs: list[dict]) -> None:
    """Prints accuracies and costs of every column."""
    print(
        "\n| | seeds | forgotten class | other classes | epochs until below 0.05 | seconds of "
        "work | MB sent | samples |\n|---|---|---|---|---|---|---|---|"
    )
    first = {run["seed"]: run["notes"]["measured"]["before"] for run in runs}
    print(
        "| before | "
        + f"{len(first)} | "
        + " | ".join(mean([line[name] for line in first.values()]) for name in PARTS)
        + " | - | - | - | - |"
    )
    for label in dict.fromkeys(run["label"] for run in runs):
        chosen = [run for run in runs if run["label"] == label]
        after = [run["notes"]["measured"]["after"] for run in chosen]
        below = [
            next(
                (
                    epoch
                    for epoch, line in run["epochs"]
                    if epoch and line["forget_test_accuracy"] < 0.05
                ),
                None,
            )
            for run in chosen
        ]
        cost = [run["notes"]["cost"] for run in chosen]
        sent = statistics.fmean(c["bytes_up"] + c["bytes_down"] for c in cost) / 1e6
        samples = [run["notes"]["report"].get("samples") or remaining(run) for run in chosen]
        print(
            f"| {label} | {len(chosen)} | {mean(a['forget_test_accuracy'] for a in after)} | "
            f"{mean(a['remain_test_accuracy'] for a in after)} | "
            f"{', '.join('-' if b is None else f'{b:g}' for b in below)} | "
            f"{statistics.fmean(c['work_seconds'] for c in cost):.1f} | {sent:.2f} | "
            f"{statistics.fmean(samples):.0f} |"
        )


def remaining(run: dict) -> int:
    """Returns how many examples remain for training."""
    return run["config"].data.train_examples - run["notes"]["forgotten"]["examples"]


def published_costs() -> None:
    """Prints the paper's Table 4."""
    seconds, costs = (
        list(csv.DictReader((PUBLISHED / f"ablation_channel_table4_{n}.csv").open()))
        for n in ("seconds", "costs")
    )
    known = {(c["model"], c["dataset"], c["method"]): c for c in costs}
    print("\n| published (Table 4) | method | seconds | MB sent | samples |\n|---|---|---|---|---|")
    for row in seconds:
        cost = known[row["model"], row["dataset"], row["method"]]
        print(
            f"| {row['model']}, {row['dataset']} | {row['method']} | {row['seconds']} | "
            f"{1000 * float(cost['gigabytes']):g} | {cost['samples']} |"
        )


def table3(folder: pathlib.Path) -> None:
    """Prints Table 3 for the trained runs of a sweep, beside the published figures."""
    rows = csv.DictReader((PUBLISHED / "ablation_channel_table3.csv").open())
    paper = {
        (row["layer"], row["channels_pruned"]): row for row in rows if row["model"] == "resnet20"
    }
    grid, found = read_grid(folder.name.removeprefix("sweep-")), {}
    for key in sorted({cell.training_key for cell in grid.cells()}):
        if (folder / "runs" / key / "metrics.jsonl").exists():
            study = study_channels(
                folder / "runs" / key, ["class:1"], delta=0.3, layers=list(TABLE3), prune=True
            )
            for line in study.pruned:
                found.setdefault((line.layer, line.selection), []).append(line)
    print(
        "\n| layer | channels zeroed | other classes | forgotten class | published, others | "
        "published, forgotten |\n|---|---|---|---|---|---|"
    )
    for (layer, selection), lines in found.items():
        row = paper[TABLE3.get(layer, "none"), selection]
        print(
            f"| {layer or 'none'} | {selection} | {mean(line.remain for line in lines)} | "
            f"{mean(line.forget for line in lines)} | {row['remaining_accuracy_percent']} % | "
            f"{row['forget_accuracy_percent']} % |"
        )


def write_lines(runs: list[dict], path: pathlib.Path) -> None:
    """Writes every epoch of every run as CSV."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["column", "seed", "epochs", *PARTS, "forget_accuracy", "remain_accuracy"])
        for run in runs:
            for epoch, line in run["epochs"]:
                out.writerow(
                    [
                        run["label"],
                        run["seed"],
                        epoch,
                        *(
                            f"{line[name]:.4f}"
                            for name in (*PARTS, "forget_accuracy", "remain_accuracy")
                        ),
                    ]
                )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("folders", type=pathlib.Path, nargs="+")
    parser.add_argument("--prune", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for folder in arguments.folders:
        name, runs = folder.name.removeprefix("sweep-"), read(folder)
        title = read_grid(name).title
        print(f"\n## {title}")
        summary(runs)
        stem = name.replace("-", "_")
        curves(
            runs,
            [label for label in SHOWN if any(r["label"] == label for r in runs)],
            arguments.out / f"{stem}_curves.png",
            title,
        )
        deltas = [
            label
            for label in dict.fromkeys(r["label"] for r in runs)
            if label == "CE" or label.startswith("CE, delta")
        ]
        curves(runs, deltas, arguments.out / f"{stem}_delta.png", title)
        write_lines(runs, arguments.out / f"{stem}.csv")
        if arguments.prune and "cifar10" in name:
            table3(folder)
    published_costs()


if __name__ == "__main__":
    main()

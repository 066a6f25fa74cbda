"""The claims about FedMemPrune, on subsets that a net can learn by heart.

Run: .venv/bin/python tests/benchmarks/memorization_claims.py OUT --data-dir DIR [--seeds 3]
     [--retrains 6] [--only mnist-iid ...] [--pool 0]

Trains LeNet-5 on 4,000 images of MNIST and of CIFAR-10, IID and Dirichlet(0.5), 10 clients; forgets
client 0 by every method and every ratio, each with several seeds; retrains; evaluates by groups of
memorisation, leave-one-out. What lies finished in OUT is not done again, so that the same command
goes on. Writes `<setting>.csv`, `<setting>.png`, `<setting>_ratio.csv` and `_ratio.png`; prints
Markdown tables beside the published ones. With --pool T also the rank correlation of the cheaper
scores on the first setting, from T trainings without two clients each.
"""

from __future__ import annotations

import argparse
import csv
import pathlib

import numpy as np

import tfunlearn  # noqa: F401  (quiets TensorFlow)
from tfunlearn.evaluation import (
    OutputsOf,
    assign_groups,
    grouped_metric,
    label_probabilities,
    memorization_scores,
)
from tfunlearn.evaluation.memorization import GROUPS
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.gme import GmeSettings, study_memorization, write_groups
from tfunlearn.experiment.unlearning import unlearn, unlearn_settings
from tfunlearn.methods.source import open_source
from tfunlearn.report import save_groups
from tfunlearn.runs.run_directory import RunDirectory
from tfunlearn.workflows.evaluate.tables import local_values

PUBLISHED = pathlib.Path(__file__).resolve().parents[2] / "data" / "published"
COMMON = dict(
    model="lenet5",
    train_examples=4000,
    clients=10,
    optimizer="adam",
    rounds=40,
    client_weights="uniform",
    history="all",
)
SETTINGS = {
    "mnist-iid": dict(dataset="mnist", partition="iid", lr=1e-3, local_epochs=3),
    "cifar10-dirichlet": dict(dataset="cifar10", partition="dirichlet", lr=2e-3, local_epochs=5),
    "cifar10-iid": dict(dataset="cifar10", partition="iid", lr=2e-3, local_epochs=5),
    "mnist-dirichlet": dict(dataset="mnist", partition="dirichlet", lr=1e-3, local_epochs=3),
}
RATIO = {"iid": 0.3, "dirichlet": 0.4}  # the paper's on CIFAR-10
RATIOS = (0.2, 0.4, 0.6, 0.8, 1.0)
METHODS = {
    "finetune": dict(recovery_rounds=11),
    "not": dict(stop="rounds", recovery_rounds=11),
    "pga": {},
    "fedosd": dict(stop="rounds"),
    "fedau": dict(head_alpha=0.9),
}
RESET = dict(
    reset_rule="layer", stop="rounds", recovery_rounds=10
)  # as the published tables here had it


def unlearnings(setting: str) -> dict[str, dict]:
    """Returns the settings of every unlearning of a setting, by label."""
    found = {name: dict(method=name, **more) for name, more in METHODS.items()}
    own = RATIO[setting.partition("-")[2]]
    for ratio in dict.fromkeys((own, *RATIOS)):
        found[f"memorization {ratio:g}"] = dict(method="memorization", ratio=ratio, **RESET)
    return found


def work(folder: pathlib.Path, setting: str, seed: int, data_dir: str) -> dict[str, str]:
    """Returns the unlearned runs of a seed by label, made now or found."""
    source, paths = trained(folder, setting, data_dir), {}
    for label, asked in unlearnings(setting).items():
        result = unlearn(
            source,
            unlearn_settings(**asked, forget=["client:0"], unlearn_seed=seed, reference=False),
            data_dir=data_dir,
        )
        paths[label] = str(result.directory.path)
        after = result.notes["measured"]["after"]
        print(
            f"{setting} seed {seed} {label}: forgotten {after['forget_accuracy']:.3f} test "
            f"{after['test_accuracy']:.3f}" + (" (found)" if not result.new else ""),
            flush=True,
        )
    return paths


def trained(folder: pathlib.Path, setting: str, data_dir: str) -> pathlib.Path:
    """Returns the run that all others of a setting come from."""
    source = folder / "runs" / setting
    if not (source / "model.keras").is_file():
        train(run_config(**COMMON, **SETTINGS[setting], data_dir=data_dir), out=source)
    return source


def show_published() -> None:
    """Prints the paper's Table 1 for CIFAR-10, gaps in brackets, and its ratios."""
    measures = (*GROUPS, "unlearn", "test")
    rows = [
        row
        for row in csv.DictReader((PUBLISHED / "memorization_table1.csv").open())
        if row["dataset"] == "cifar10" and row["measure"] in measures
    ]
    rows += [
        dict(row, split="dirichlet, ratio", method=row["ratio"])
        for row in csv.DictReader((PUBLISHED / "memorization_ratio.csv").open())
        if row["measure"] in measures
    ]
    print(
        "\n| published: CIFAR-10 | | "
        + " | ".join(f"{g} %" for g in GROUPS)
        + " | all | test |\n|"
        + "---|" * (len(GROUPS) + 4)
    )
    found = {}
    for row in rows:
        gap = f" ({row['gap']})" if row["gap"] else ""
        found.setdefault((row["split"], row["method"]), []).append(f"{row['percent']}{gap}")
    for (split, method), cells in found.items():
        print(f"| {split} | {method} | " + " | ".join(cells) + " |")


def show(setting: str, study, labels: dict[str, str]) -> None:
    """Prints groups, accuracies, fairness and time to peak of a study."""
    models = study.models
    print(
        f"\n### {setting}\n\nOriginal model: accuracy on remaining training data "
        f"{models['original'].remain_accuracy[0]:.3f}, test "
        f"{models['original'].test_accuracy[0]:.3f}; {len(study.report.scores)} images "
        f"forgotten; {study.report.graders} retrained models, {study.report.grading}.\n"
    )
    print(
        "| | models | " + " | ".join(f"{g} %" for g in GROUPS) + " | all | test | fairness | "
        "rounds to peak | client steps to peak |"
    )
    print("|" + "---|" * (len(GROUPS) + 7))
    for name, row in study.report.rows.items():
        cells = [
            f"{100 * m:.1f}"
            + (f" ± {100 * s:.1f}" if row.models > 1 else "")
            + ("" if name == "retrained" else f" ({100 * g:.1f})")
            for m, s, g in zip(row.mean, row.spread, row.gap)
        ]
        values = local_values(study, name)
        shown = [
            f"{np.mean(values[key]):{form}}" if values[key] else "-"
            for key, form in (
                ("test_accuracy", ".3f"),
                ("fairness", ".3f"),
                ("peak_rounds", ".1f"),
                ("peak_client_steps", ".0f"),
            )
        ]
        print(f"| {labels.get(name, name)} | {row.models} | " + " | ".join([*cells, *shown]) + " |")


def evaluate(folder: pathlib.Path, setting: str, runs: list[dict], arguments) -> None:
    """Evaluates all methods together, and the ratios together."""
    own = f"memorization {RATIO[setting.partition('-')[2]]:g}"
    settings = GmeSettings(retrains=arguments.retrains)
    for stem, chosen in (
        (setting, [*METHODS, own]),
        (f"{setting}_ratio", ["finetune", *(f"memorization {r:g}" for r in RATIOS)]),
    ):
        paths = [run[label] for label in chosen for run in runs]
        study = study_memorization(paths, settings, data_dir=arguments.data_dir)
        for path in (folder / f"{stem}.csv", folder / f"{stem}.png"):
            path.unlink(missing_ok=True)
        write_groups(folder / f"{stem}.csv", study)
        rows = study.report.rows
        save_groups(
            folder / f"{stem}.png",
            {n: row.mean for n, row in rows.items()},
            {n: row.spread for n, row in rows.items()},
            (*GROUPS, "all"),
            title=stem,
        )
        if stem == setting:
            show_bias(folder, setting, study)
        show(stem, study, {"finetune": "ratio 0 (finetune)"} if stem != setting else {})


def show_bias(folder: pathlib.Path, setting: str, study) -> None:
    """Prints what retraining would look like if models graded the groups that they made."""
    source = open_source(trained(folder, setting, ""))
    held, rows = source.federation.poisoned, source.federation.poisoned.rows(0)
    outputs_of = OutputsOf(source.model)

    def graded(weights):
        outputs = outputs_of(held.features[rows], weights)
        return (
            label_probabilities(outputs, held.labels[rows], from_logits=True),
            outputs.argmax(axis=1) == held.labels[rows],
        )

    original = graded(source.state.weights)[0]
    p, hits = (
        np.stack(part)
        for part in zip(
            *(
                graded(RunDirectory(pathlib.Path(path)).read_state().weights)
                for path in study.models["retrained"].paths[:3]
            )
        )
    )
    for name, judges in (
        ("the last of 3 scores, all 3 grade (the published code)", p[2:]),
        ("3 score and grade", p),
    ):
        groups = assign_groups(memorization_scores(original, judges), ties="reference")
        cells = grouped_metric(hits, groups)
        print(
            f"{setting}: {name}: retrained, "
            + " / ".join(
                f"{100 * m:.1f} ± {100 * s:.1f}"
                for m, s in zip(cells.mean(axis=0), cells.std(axis=0))
            )
            + f"; {100 * np.mean(groups < 0):.0f} % of the examples in no group"
        )


def cheaper(folder: pathlib.Path, setting: str, arguments) -> None:
    """Prints how the cheaper scores rank the forgotten examples."""
    source = trained(folder, setting, arguments.data_dir)
    for scores, more in (("checkpoints", {}), ("subsets", dict(pool=arguments.pool, omitted=2))):
        study = study_memorization(
            [source],
            GmeSettings(retrains=arguments.retrains, scores=scores, **more),
            forget=["client:0"],
            data_dir=arguments.data_dir,
        )
        print(
            f"{setting}: {scores}: rank correlation with {arguments.retrains} retrained models "
            f"{study.correlation:.3f}; retrained models in the groups that these scores make: "
            + " / ".join(f"{100 * m:.1f}" for m in study.report.rows["retrained"].mean),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--retrains", type=int, default=6)
    parser.add_argument("--only", nargs="*", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--pool", type=int, default=0)
    arguments = parser.parse_args()
    runs = {setting: [] for setting in arguments.only}
    for seed in range(arguments.seeds):
        for setting, found in runs.items():
            found.append(work(arguments.out, setting, seed, arguments.data_dir))
    for setting, found in runs.items():
        evaluate(arguments.out, setting, found, arguments)
    show_published()
    if arguments.pool:
        cheaper(arguments.out, arguments.only[0], arguments)


if __name__ == "__main__":
    main()

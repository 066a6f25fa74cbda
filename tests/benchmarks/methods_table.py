"""Every unlearning method with its defaults, request by request, beside retraining; and the default method.

Two tables: every method on a clean run (20 rounds, digits, LeNet-5; client 3, class 1, the first 20 examples
of client 3), and the default method on the first command's run (30 rounds under label flip, FLAP; attackers,
client 3, class 1, 20 examples). Runs lie in OUT; the same command goes on where it was stopped.

    .venv/bin/python tests/benchmarks/methods_table.py OUT [--seeds 0 1 2 3 4]
"""

from __future__ import annotations

import argparse
import csv
import pathlib

import numpy as np
import tensorflow as tf

from tfunlearn.core.errors import UserError
from tfunlearn.experiment import run_config, train
from tfunlearn.experiment.unlearning import unlearn, unlearn_settings

REQUESTS = {
    "attackers": ["malicious"],
    "client 3": ["client:3"],
    "class 1": ["class:1"],
    "20 examples": [f"example:3:{index}" for index in range(20)],
}
METHODS = {
    "fedup": {},
    "exclude": {},
    "finetune": {},
    "federaser": {},
    "pga": {},
    "fedrecovery": {},
    "not": {},
    "rapid-retrain": {},
    "ablation-channel": {},
    "ablation-channel, centralized": {"mode": "centralized"},
    "cdp": {},
    "memorization": {},
    "fedosd": {},
    "fedau": {},
}
FIELDS = (
    "run",
    "seed",
    "request",
    "method",
    "state",
    "test_before",
    "test_after",
    "test_retrained",
    "stay_after",
    "stay_retrained",
    "forget_before",
    "forget_after",
    "forget_retrained",
    "remain_after",
    "success_after",
    "success_retrained",
    "source_after",
    "source_retrained",
    "rounds",
)


def row_of(name: str, seed: int, request: str, method: str, run) -> dict:
    """Returns one line of the table, of a finished unlearning."""
    measured = run.notes["measured"]

    def value(title: str, field: str):
        return (measured[title] or {}).get(field)

    stay = "remain_test_accuracy" if request.startswith("class") else "test_accuracy"
    return dict(
        run=name,
        seed=seed,
        request=request,
        method=method,
        state="failed" if run.failed else "damaged" if run.notes["damaged"] else "ok",
        test_before=value("before", "test_accuracy"),
        test_after=value("after", "test_accuracy"),
        test_retrained=value("retrained", "test_accuracy"),
        stay_after=value("after", stay),
        stay_retrained=value("retrained", stay),
        forget_before=value("before", "forget_accuracy"),
        forget_after=value("after", "forget_accuracy"),
        forget_retrained=value("retrained", "forget_accuracy"),
        remain_after=value("after", "remain_accuracy"),
        success_after=value("after", "attack_success"),
        success_retrained=value("retrained", "attack_success"),
        source_after=value("after", "source_error"),
        source_retrained=value("retrained", "source_error"),
        rounds=run.notes["rounds"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--only", choices=["default", "methods"])
    args = parser.parse_args()
    tf.get_logger().setLevel("ERROR")
    rows = []
    for seed in args.seeds:
        if args.only != "methods":
            rows += _default_rows(args.out / f"first{seed}", seed)
        if args.only != "default":
            rows += _method_rows(args.out / f"clean{seed}", seed)
        _write(args.out, rows)
    _print(rows)


def _train(folder: pathlib.Path, **config) -> None:
    if not (folder / "model.keras").exists():
        train(run_config(**config), out=folder)


def _default_rows(folder: pathlib.Path, seed: int) -> list[dict]:
    _train(folder, attack="label-flip", defense="flap", seed=seed)
    return [_unlearned(folder, seed, request, "default") for request in REQUESTS]


def _method_rows(folder: pathlib.Path, seed: int) -> list[dict]:
    _train(folder, rounds=20, history="all", seed=seed)
    rows = []
    for request in list(REQUESTS)[1:]:
        for label, knobs in METHODS.items():
            try:
                rows.append(_unlearned(folder, seed, request, label, **knobs))
            except UserError as error:
                if "This request is taken by" not in str(error) and "classes alone" not in str(
                    error
                ):
                    raise
    return rows


def _unlearned(folder: pathlib.Path, seed: int, request: str, label: str, **knobs) -> dict:
    method = {} if label == "default" else {"method": label.partition(",")[0]}
    run = unlearn(folder, unlearn_settings(forget=REQUESTS[request], **method, **knobs))
    tf.keras.backend.clear_session()
    row = row_of(
        folder.name[:5],
        seed,
        request,
        f"default: {run.notes['method']}" if label == "default" else label,
        run,
    )
    print(
        "  ".join(f"{field} {_text(row[field])}" for field in FIELDS if row[field] is not None),
        flush=True,
    )
    return row


def _write(out: pathlib.Path, rows: list[dict]) -> None:
    with open(out / "methods.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _text(value) for name, value in row.items()} for row in rows)


def _print(rows: list[dict]) -> None:
    """Prints means over seeds, and how many of the default's runs are within 0.03 of retraining."""
    for name, request, method in dict.fromkeys((r["run"], r["request"], r["method"]) for r in rows):
        chosen = [
            r for r in rows if (r["run"], r["request"], r["method"]) == (name, request, method)
        ]
        fields = ("stay_before", "stay_after", "stay_retrained", "forget_after", "forget_retrained")
        states = [r["state"] for r in chosen if r["state"] != "ok"]
        print(
            f"| {name} | {request} | {method} | "
            + " | ".join(_mean(chosen, field) for field in fields[1:])
            + f" | {', '.join(states) or '-'} |"
        )
    default = [r for r in rows if r["method"].startswith("default")]
    near = [
        r
        for r in default
        if r["test_retrained"] is not None
        and abs(r["test_after"] - r["test_retrained"]) <= 0.03 + 1e-9
    ]
    print(f"{len(near)} of {len(default)} runs of the default method within 0.03 of retraining")


def _mean(rows: list[dict], field: str) -> str:
    values = [r[field] for r in rows if r[field] is not None]
    return f"{np.mean(values):.3f}" if values else "-"


def _text(value) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)


if __name__ == "__main__":
    main()

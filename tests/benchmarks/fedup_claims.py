"""FedUP's claims, counted from `tfunlearn sweep fedup-claims`, also an unfinished one.

Run: .venv/bin/python tests/benchmarks/fedup_claims.py runs/sweep-fedup-claims

Prints two Markdown tables: means over seeds and numbers of attackers, and each claim with how often
it held. A gap is a model's accuracy minus that of the model retrained with the same seed.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import sys

COLUMNS = [
    "before",
    "retrain",
    "FedUP",
    "FedUP, random",
    "FedUP, magnitude",
    "exclude only",
    "FedUP, until recovered",
]


def read(folder: str) -> dict:
    """Returns the values of each finished cell by (row, column, seed)."""
    cells = {}
    for path in pathlib.Path(folder, "results").glob("*.json"):
        stored = json.loads(path.read_text())
        cells[stored["row"], stored["column"], stored["config"]["seed"]] = {
            name: value for name, value in stored["metrics"][-1].items() if value is not None
        }
    return cells


def whole(cells: dict) -> list[tuple[str, int]]:
    """Returns the rows and seeds of which every column is there."""
    return sorted(
        {
            (row, seed)
            for row, _, seed in cells
            if all((row, column, seed) in cells for column in COLUMNS)
        }
    )


def mean(values) -> str:
    values = [value for value in values if value is not None]
    return f"{statistics.fmean(values):.3f}" if values else "-"


def table(cells: dict, rows: list, measure: str) -> None:
    groups = sorted({row.rpartition(", ")[0] for row, _ in rows if "alarm" not in row})
    print(f"\n| {measure.replace('_', ' ')} | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for group in groups:
        print(
            f"| {group} | "
            + " | ".join(
                mean(
                    cells[row, column, seed].get(measure)
                    for row, seed in rows
                    if row.rpartition(", ")[0] == group and "alarm" not in row
                )
                for column in COLUMNS
            )
            + " |"
        )


def claims(cells: dict, rows: list) -> None:
    attacked = [key for key in rows if "alarm" not in key[0]]
    held = [key for key in attacked if cells[key[0], "before", key[1]]["attack_success"] >= 0.1]
    spread = {}
    for row in {row for row, _ in attacked}:
        values = [
            cells[row, "retrain", seed]["forget_accuracy"] for r, seed in attacked if r == row
        ]
        spread[row] = statistics.stdev(values) if len(values) > 1 else 0.0

    def gap(column, key, name="forget_gap"):
        return cells[key[0], column, key[1]].get(name, 0.0)

    print(f"\n{len(attacked)} runs, in {len(held)} of them the attack succeeds in 10 % or more")
    for title, keys in (("all runs", attacked), ("attack took hold", held)):
        if not keys:
            continue
        print(f"\n{title} ({len(keys)}):")
        for column in COLUMNS[2:]:
            near = sum(abs(gap(column, key)) <= spread[key[0]] for key in keys)
            recovered = [cells[key[0], column, key[1]].get("test_recovered") for key in keys]
            bounds = [cells[key[0], column, key[1]].get("bound", 5) for key in keys]
            quick = sum(r is not None and r <= b for r, b in zip(recovered, bounds))
            print(
                f"  {column}: forgotten data within the spread of retraining {near}; "
                f"mean |gap| {mean(abs(gap(column, key)) for key in keys)}, signed "
                f"{mean(gap(column, key) for key in keys)}; poisoned gap "
                f"{mean(gap(column, key, 'poisoned_gap') for key in keys)}; attack gap "
                f"{mean(gap(column, key, 'attack_gap') for key in keys)}; test gap "
                f"{mean(gap(column, key, 'test_gap') for key in keys)}; test accuracy of before "
                f"less a point within the bound {quick}"
            )
        for other in COLUMNS[3:6]:
            better = sum(abs(gap("FedUP", key)) < abs(gap(other, key)) for key in keys)
            worse = sum(abs(gap("FedUP", key)) > abs(gap(other, key)) for key in keys)
            print(f"  FedUP nearer to retraining than {other}: {better}, farther: {worse}")
    print("\nfalse alarms, accuracy on the honest client's data and on test data:")
    for row, seed in [key for key in rows if "alarm" in key[0]]:
        values = [
            (cells[row, column, seed]["forget_accuracy"], cells[row, column, seed]["test_accuracy"])
            for column in ("before", "FedUP", "FedUP, until recovered", "retrain")
        ]
        print(
            f"  {row}, seed {seed}: "
            + "; ".join(
                f"{column} {a:.3f} / {b:.3f}"
                for column, (a, b) in zip(
                    ("before", "FedUP", "until recovered", "retrained"), values
                )
            )
        )


def main() -> None:
    cells = read(sys.argv[1])
    rows = whole(cells)
    for measure in ("forget_accuracy", "poisoned_accuracy", "attack_success", "test_accuracy"):
        table(cells, rows, measure)
    claims(cells, rows)


if __name__ == "__main__":
    main()

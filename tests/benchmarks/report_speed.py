"""Processor time of `report` with this checkout and with another one, and of its figures.

Both write a report on the same run, interleaved, each in a fresh process.

    .venv/bin/python tests/benchmarks/report_speed.py RUN OTHER_CHECKOUT [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

from checkouts import packages
from timing import processor

REPORT = """
import resource, sys, tfunlearn_cli.report
from tfunlearn.report import curves, figures, groups, proof, recovery
from tfunlearn.workflows.report import report

spent, save = 0.0, figures.save_figure
load = getattr(figures, "_matplotlib", None) or figures.import_matplotlib  # in earlier builds

def now():
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime

def timed(figure, path):
    global spent
    begun = now()
    save(figure, path)
    spent += now() - begun

for module in (curves, groups, proof, recovery):
    module.save_figure = timed
load()
import matplotlib.backends.backend_agg
report([sys.argv[1]], out=sys.argv[2])
print(spent)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("other", help="folder of the other checkout")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    here = pathlib.Path(__file__).resolve().parents[2]
    checkouts = {"other": pathlib.Path(args.other).resolve(), "this": here}
    whole, figures = ({name: [] for name in checkouts} for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.repeats):
            for name, checkout in checkouts.items():
                paths = packages(pathlib.Path(folder) / name, checkout)
                out = str(pathlib.Path(folder) / f"report-{name}-{number}")
                before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
                done = subprocess.run(
                    [sys.executable, "-c", REPORT, args.run, out],
                    env={**os.environ, "PYTHONPATH": paths},
                    check=True,
                    capture_output=True,
                    text=True,
                )
                after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
                whole[name].append(after - before)
                figures[name].append(float(done.stdout))
    print(processor())
    for what, seconds in (("report", whole), ("save_figure", figures)):
        other, this = (statistics.median(seconds[name]) for name in checkouts)
        print(
            f"{what:<12} other {other:6.2f} s, this {this:6.2f} s of processor time, ratio "
            f"{this / other:.2f}"
        )


if __name__ == "__main__":
    main()

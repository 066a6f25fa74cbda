"""What follows a training: detection, unlearning of the flagged clients, verification, report."""

from __future__ import annotations

import os
import pathlib

from tfunlearn.core.requests import DETECTED
from tfunlearn.methods.settings import unlearn_settings
from tfunlearn.workflows.detect import detect_run
from tfunlearn.workflows.profile import record_profile
from tfunlearn.workflows.report import report
from tfunlearn.workflows.unlearn.workflow import unlearn
from tfunlearn.workflows.verify.suite import verify
from tfunlearn_cli.console import PlainConsole
from tfunlearn_cli.detect import show_detection
from tfunlearn_cli.unlearn_display import UnlearningDisplay, end_if_failed
from tfunlearn_cli.verify_display import VerifyDisplay

STEPS = ("unlearn", "verify", "report")  # each includes those before it


def follow(run: pathlib.Path, detector: str, last: str | None) -> None:
    """Detect the malicious clients of a run, and go on with them.

    Args:
        run: the run directory; all its rounds are kept.
        detector: name of the detector.
        last: last one of `STEPS` to run; None for the detection alone. Where nobody is flagged,
            nothing is forgotten, and only the report is written.
    """
    console = PlainConsole()
    found = detect_run(run, [detector], track=console.track)
    show_detection(console, found, run)
    steps = STEPS[: STEPS.index(last) + 1] if last else ()
    first = found.results[0].stored.found
    detector, flagged = first.detector, first.flagged
    if steps and not flagged:
        console.print(f"detected  {detector} flagged no client; nothing is forgotten")
    if "unlearn" in steps and flagged:
        settings = unlearn_settings(forget=[f"{DETECTED}:{detector}"])
        with UnlearningDisplay(str(run)) as display:
            result = unlearn(run, settings, watch=display)
        display.finish(result)
        end_if_failed(result)
        record_profile(result, None)
        run = result.directory.path
    if "verify" in steps and flagged:
        with VerifyDisplay() as shown:
            verified = verify(run, watch=shown)
        shown.finish(verified)
    if "report" in steps:
        folder = report([run], track=console.track)
        console.print(f"written   {os.path.relpath(folder)}/report.html", markup=False)

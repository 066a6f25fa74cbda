"""The control of FedMemPrune: a random reset of the same size, with everything else the same.

On small nets it comes as near to retraining as FedMemPrune does, so that neither is shown alone.
"""

from __future__ import annotations

import dataclasses

from tfunlearn.workflows.evaluate.runs_compared import Subjects, Unlearned
from tfunlearn.runs.run_directory import read_notes
from tfunlearn.methods.settings import unlearn_settings
from tfunlearn.workflows.unlearn.workflow import Watch
from tfunlearn.methods.task import Case
from tfunlearn.methods.source import require_unlearned
from tfunlearn.workflows.unlearn.workflow import case_of, perform_case

METHOD, CONTROL = "memorization", "random"


def with_control(subjects: Subjects, watch: Watch) -> Subjects:
    """Returns the subjects with a control for each run of memorization, found beside the run or
    unlearned now; those that are there already are not repeated.

    Args:
        subjects: what is compared.
        watch: told of unlearnings.
    """
    methods = dict(subjects.methods)
    for label, runs in subjects.methods.items():
        if runs[0].notes["method"] != METHOD or runs[0].notes["settings"]["saliency"] == CONTROL:
            continue
        controls = [_control_of(subjects.case, run, watch) for run in runs]
        known = {run.notes["key"] for others in methods.values() for run in others}
        controls = [run for run in controls if run.notes["key"] not in known]
        if controls:
            methods[f"{label} control: random reset"] = controls
    return dataclasses.replace(subjects, methods=methods)


def _control_of(case: Case, run: Unlearned, watch: Watch) -> Unlearned:
    knobs = {name: value for name, value in run.notes["settings"].items() if value is not None}
    settings = unlearn_settings(**{
        **knobs, "saliency": CONTROL, "zero_updates": "exclude", "forget": case.settings.forget,
        "unlearn_seed": run.notes["seed"], "reference": False})
    directory, _ = perform_case(
        dataclasses.replace(case_of(case.source, settings), keeps=False), None, "key", watch)
    notes = read_notes(directory)
    require_unlearned(directory, notes)
    return Unlearned(directory, notes, directory.read_state().weights)

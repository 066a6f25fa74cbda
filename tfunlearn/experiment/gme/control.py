"""Control of FedMemPrune: a random reset of the same size, with all other settings equal.

On small networks the control is as close to retraining as FedMemPrune, so both are always reported.
"""

from __future__ import annotations

import dataclasses

from tfunlearn.experiment.gme.subjects import Subjects, Unlearned
from tfunlearn.experiment.run_directory import read_notes
from tfunlearn.experiment.unlearning import Watch, unlearn_settings
from tfunlearn.experiment.unlearning.case import Case
from tfunlearn.experiment.unlearning.source import require_unlearned
from tfunlearn.experiment.unlearning.unlearn import case_of, perform_case

METHOD, CONTROL = "memorization", "random"


def with_control(subjects: Subjects, watch: Watch) -> Subjects:
    """Return the subjects with a control added for each run of the method memorization.

    Existing controls are reused, missing ones are unlearned now; controls that are already among
    the subjects are not added again.

    Args:
        subjects: the runs to compare.
        watch: callbacks of the unlearning runs.
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

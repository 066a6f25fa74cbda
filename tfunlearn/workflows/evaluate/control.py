"""Control of FedMemPrune: a random reset of the same size, with all other settings equal.

On small networks the control is as close to retraining as FedMemPrune, so both are always reported.
"""

from __future__ import annotations

import dataclasses

from tfunlearn.methods.method import UNLEARNING, Control
from tfunlearn.methods.settings import unlearn_settings
from tfunlearn.methods.source import require_not_failed
from tfunlearn.methods.task import UnlearningTask
from tfunlearn.runs.run_directory import unlearning_record
from tfunlearn.workflows.evaluate.runs_compared import ComparedRuns, Unlearned
from tfunlearn.workflows.unlearn.callbacks import UnlearningCallbacks
from tfunlearn.workflows.unlearn.workflow import run_task, task_of


def with_control(subjects: ComparedRuns, watch: UnlearningCallbacks) -> ComparedRuns:
    """Return the subjects with a control added for each run of the method memorization.

    Existing controls are reused, missing ones are unlearned now; controls that are already among
    the subjects are not added again.

    Args:
        subjects: the runs to compare.
        watch: callbacks of the unlearning runs.
    """
    methods = dict(subjects.methods)
    for label, runs in subjects.methods.items():
        control = UNLEARNING.find(runs[0].record.method).control
        if control is None or _is_control(control, runs[0].record.settings):
            continue
        controls = [_control_of(subjects.task, run, control, watch) for run in runs]
        known = {run.record.key for others in methods.values() for run in others}
        controls = [run for run in controls if run.record.key not in known]
        if controls:
            methods[f"{label} control: {control.label}"] = controls
    return dataclasses.replace(subjects, methods=methods)


def _is_control(control: Control, settings: dict) -> bool:
    return settings[control.marked_by] == control.settings[control.marked_by]


def _control_of(
    task: UnlearningTask, run: Unlearned, control: Control, watch: UnlearningCallbacks
) -> Unlearned:
    knobs = {name: value for name, value in run.record.settings.items() if value is not None}
    settings = unlearn_settings(
        **{
            **knobs,
            **control.settings,
            "forget": task.settings.forget,
            "unlearn_seed": run.record.seed,
            "reference": False,
        }
    )
    directory, _ = run_task(
        dataclasses.replace(task_of(task.source, settings), keeps=False), None, "key", watch
    )
    record = unlearning_record(directory)
    require_not_failed(directory, record)
    return Unlearned(directory, record, directory.read_state().weights)

"""The small run shared by the unlearning tests, and quick settings of every method."""

from __future__ import annotations

import pathlib

from tfunlearn.core.files import checksum
from tfunlearn.experiment.unlearning import unlearn_settings

SMALL = dict(
    train_examples=240,
    clients=6,
    rounds=4,
    lr=3e-3,
    malicious=2,
    attack="label-flip",
    history="all",
)
QUICK = {
    "fedup": dict(fraction=0.1, stop="rounds", recovery_rounds=1),
    "finetune": dict(recovery_rounds=1),
    "not": dict(stop="rounds", recovery_rounds=1),
    "pga": dict(recovery_rounds=1),
    "exclude": dict(fraction=0.1),
    "rapid-retrain": dict(recovery_rounds=2),
    "ablation-channel": dict(recovery_rounds=1),
    "cdp": dict(stop="rounds", recovery_rounds=1, forget=["class:3"]),
    "memorization": dict(stop="rounds", recovery_rounds=1, ratio=0.2),
    "fedosd": dict(stop="rounds", recovery_rounds=1),
    "fedau": dict(head_rounds=2),
}


_TRAINS = ("recovery_optimizer", "recovery_lr", "recovery_epochs", "recovery_rounds", "stop")
_RECOVERS = (*_TRAINS, "keep_defense")
OWN_FIELDS = {  # written into records and fingerprints by earlier builds; never changes
    "fedup": (*_RECOVERS, "fraction", "mask", "similarity", "average", "rate_limit"),
    "exclude": (*_RECOVERS, "fraction", "similarity"),
    "retrain": (),
    "finetune": _RECOVERS,
    "federaser": ("calibration",),
    "pga": (
        *_RECOVERS,
        "average",
        "ascent_lr",
        "ascent_epochs",
        "ascent_batch",
        "ascent_clip",
        "ascent_stop",
    ),
    "fedrecovery": ("average", "update_noise"),
    "not": (*_RECOVERS, "negate"),
    "rapid-retrain": ("recovery_lr", "recovery_rounds"),
    "ablation-channel": (
        *_TRAINS,
        "mode",
        "delta",
        "channel",
        "selection",
        "probe",
        "redraw",
        "server_samples",
        "server_batch",
    ),
    "cdp": (*_RECOVERS, "prune_share", "prune_scope"),
    "memorization": (
        *_RECOVERS,
        "ratio",
        "ratio_scope",
        "saliency",
        "include",
        "zero_updates",
        "reset_rule",
        "reset_order",
    ),
    "fedosd": (*_TRAINS, "unlearn_rounds", "unlearn_lr", "unlearn_batch"),
    "fedau": ("head_rounds", "head_lr", "head_alpha", "head_gamma"),
}


def plan_of(task):
    """Return the plan of the task's method."""
    return task.method.plan(task, task.own)


def quick(method="fedup", **more):
    """Return settings with one round of recovery and without the reference."""
    return unlearn_settings(
        **{"method": method, "reference": False, **QUICK.get(method, {}), **more}
    )


def contents(folder):
    """Return the checksum of every file in a folder, recursively."""
    return {
        str(path.relative_to(folder)): checksum(path)
        for path in sorted(pathlib.Path(folder).rglob("*"))
        if path.is_file()
    }

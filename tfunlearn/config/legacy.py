"""Flat fields of earlier builds, so that their files and fingerprints keep their meaning.

Earlier builds wrote every field of every method. Fingerprints were made of all of them; they are
completed from these tables, which never change.
"""

from __future__ import annotations

UNLEARNING_FIELDS = {  # of `unlearn` with method auto
    "fraction": "auto", "mask": "divergence", "similarity": "model", "average": "samples",
    "stop": None, "recovery_rounds": None, "recovery_optimizer": None, "recovery_lr": None,
    "recovery_epochs": None, "keep_defense": False, "rate_limit": 10, "calibration": 0.5,
    "ascent_lr": 0.01, "ascent_epochs": 5, "ascent_batch": 128, "ascent_clip": 5.0,
    "ascent_stop": 0.12, "negate": 1, "update_noise": 0.0, "mode": "decentralized", "delta": 0.05,
    "channel": "filter", "selection": "important", "probe": 1000, "redraw": False,
    "server_samples": 1600, "server_batch": 64, "prune_share": 0.1, "prune_scope": "layer",
    "ratio": None, "ratio_scope": "global", "saliency": "abs_mean_delta",
    "include": "kernels+bias", "zero_updates": "exclude", "reset_rule": "he_uniform_compat",
    "reset_order": "apply_then_reset", "unlearn_rounds": None, "unlearn_lr": 0.01,
    "unlearn_batch": None, "head_rounds": 10, "head_lr": 0.01, "head_alpha": 0.5,
    "head_gamma": 0.5,
}

RUN_FIELDS = {  # of `train`; those of methods that are not chosen are no longer written
    "norm": None, "knowledge": "partial", "trigger_size": 3, "trigger_position": "bottom-right",
    "trigger_value": 1.0, "trigger_share": 0.1, "attack_scale": None, "attack_space": "model",
    "selected": None, "clip": None, "passes": None, "noise": 0.0, "bucket_size": 2, "compat": None,
    "reject": None, "prune_fraction": 0.01, "prune_start": 1, "prune_every": 5,
    "prune_filters": True, "prune_pairs": True, "prune_progressive": False, "prune_limit": None,
    "prune_narrow": False, "prune_score": None, "include_residual": True,
}
KEPT_FIELDS = (  # accepted with any value where their method is not chosen, without effect
    "knowledge", "trigger_size", "trigger_position", "trigger_value", "trigger_share",
    "attack_space", "bucket_size", "reject", "prune_fraction", "prune_start", "prune_every",
    "prune_filters", "prune_pairs", "prune_progressive", "prune_limit", "prune_narrow",
    "prune_score", "include_residual",
)

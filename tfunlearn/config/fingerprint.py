"""What decides the outcome of a run, as JSON values to be hashed."""

from __future__ import annotations

import os

from tfunlearn.core.files import checksum
from tfunlearn.config.run_config import RunConfig
from tfunlearn.models.saved import is_model_file

EARLIER_FLAP = {  # what FLAP did before there were such fields
    "prune_filters": True, "prune_pairs": True, "prune_progressive": True, "prune_limit": 1.0,
    "prune_narrow": True, "prune_score": "saliency"}
NO_CONTENT = ("data_dir",)  # fields that say where things lie, not what is computed


def content_of(config: RunConfig) -> dict:
    """Returns the fields of a configuration that decide a run, a model file as its checksum."""
    content = {k: v for k, v in config.flat().items() if k not in NO_CONTENT}
    if content["training_seed"] is None:  # hashes from before there was such a field stay
        del content["training_seed"]
    same = all(content[name] == value for name, value in EARLIER_FLAP.items())
    if same or "flap" not in content["defense"]:
        for name in EARLIER_FLAP:
            del content[name]
    if is_model_file(content["model"]) and os.path.isfile(content["model"]):
        content["model"] = checksum(content["model"])
    return content

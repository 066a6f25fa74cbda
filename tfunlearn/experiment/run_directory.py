"""Run directories, under the name of earlier builds."""

from tfunlearn.runs.run_directory import RunDirectory

__all__ = ["RunDirectory"]

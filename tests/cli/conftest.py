"""The command line, typed inside this process."""

from __future__ import annotations

import pytest

from tfunlearn_cli import main


@pytest.fixture
def typed(monkeypatch, capsys):
    """`(*words) -> exit code, stdout, stderr` of `tfunlearn words`."""
    def run(*words):
        monkeypatch.setattr("sys.argv", ["tfunlearn", *map(str, words)])
        code = main._exit_code()
        return code, *capsys.readouterr()

    return run

"""The `tfunlearn` command: its subcommands, and the exit codes of errors."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import traceback
import warnings
from typing import cast

import click

import tfunlearn
from tfunlearn.core.errors import FailedRun, UserError, WorkerError, nearest
from tfunlearn_cli import signals

COMMANDS = {  # written here, since importing every command would slow down --help
    "train": "Train a federated model, with attacks and defenses.",
    "resume": "Continue a stopped run, unlearning or sweep.",
    "unlearn": "Unlearn clients, classes or examples of a run, and compare with retraining.",
    "detect": "Detect malicious clients of a run from its kept updates.",
    "verify": "Verify that an unlearned run has forgotten, against retrained models.",
    "report": "Write a one-page report of one or several runs: request, method, evidence.",
    "evaluate": "Evaluate a run on its test set, or by groups of memorization (--gme).",
    "channels": "Measure the effect of each channel on the forget set.",
    "ratio": "Suggest a ratio for unlearn --method memorization.",
    "sweep": "Run a grid of rules, defenses, attacks and seeds, and print tables of results.",
    "worker": "Run a worker for trainings on this or other machines (train --worker).",
    "methods": "List the installed methods with their source and paper.",
    "check": "Check a method against the contract of its family.",
    "check-aggregator": "Run the conformance suite on a built-in or third-party aggregation rule.",
    "prune": "Prune a Keras model in a file.",
    "data": "List data sets, or show how one is partitioned over clients.",
    "models": "List the models with their sizes.",
}


class _Commands(click.Group):
    """Command group that imports a subcommand's module only when it is used."""

    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, name):
        if name not in COMMANDS:
            raise click.UsageError(f"no command '{name}'{nearest(name, COMMANDS)}")
        return getattr(
            importlib.import_module(f"tfunlearn_cli.{name.replace('-', '_')}"),
            name.replace("-", "_"),
        )

    def format_commands(self, ctx, formatter):
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(tfunlearn.__version__, prog_name="tfunlearn")
@click.pass_context
def tfunlearn_command(ctx):
    """Train federated Keras models under attack, defend them, unlearn, and verify."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run() -> None:
    """Run the command line; the exit code is 2 for invalid requests and 1 for other failures."""
    signals.install()
    warnings.showwarning = _warn
    _show_warnings()
    sys.unraisablehook = lambda _: None  # errors in destructors after an error are noise
    code = _exit_code()
    if signals.received:  # busy native threads would abort a normal exit
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _warn(message, *_, **__) -> None:
    print("tfunlearn: warning: " + " ".join(str(message).split()), file=sys.stderr)


def _show_warnings() -> None:
    """Undo PYTHONWARNINGS=error, since most warnings come from libraries."""
    cast("list", warnings.filters)[:] = [entry for entry in warnings.filters if entry[0] != "error"]
    warnings.simplefilter("ignore", ImportWarning, append=True)  # also invalidates cached filters


def _exit_code() -> int:
    try:
        with tfunlearn_command.make_context("tfunlearn", sys.argv[1:]) as context:
            tfunlearn_command.invoke(context)
        if sys.stdout is not None:  # None if it was closed at the start
            sys.stdout.flush()
        return 0
    except click.exceptions.Exit as done:  # --help, --version
        return done.exit_code
    except UserError as error:
        return _say(str(error), 2)
    except click.ClickException as error:
        return _say(error.format_message(), error.exit_code if error.exit_code != 1 else 2)
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except BrokenPipeError:  # the reader closed the pipe: `tfunlearn train | head`
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (WorkerError, FailedRun) as error:
        return _say(str(error), 1)
    except OSError as error:  # a full disk, a folder that vanished
        return _say(f"{error.filename or 'output'}: {error.strerror or error}", 1)
    except SystemExit as error:
        return cast("int", error.code)
    except Exception as error:
        if signals.received:  # native code replaced the exception of the signal
            if signal.SIGINT in signals.received:
                return _say("interrupted", 130)
            return 128 + signals.received[0]
        traceback.print_exc()
        return _say(f"internal error, please report: {error!r}", 1)


def _say(message: str, code: int) -> int:
    print("tfunlearn: " + " ".join(message.split()), file=sys.stderr)
    return code

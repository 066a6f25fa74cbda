"""The `tfunlearn` command: its subcommands, and how every error leaves the program."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import traceback
import warnings

import click

import tfunlearn
from tfunlearn.core.errors import FailedRun, UserError, WorkerError, nearest
from tfunlearn_cli import signals

COMMANDS = {  # read without importing the command, so that --help stays instant
    "train": "Train a model federatedly, under attack and defended.",
    "resume": "Go on with a run, an unlearning or a sweep that was stopped.",
    "unlearn": "Forget clients, classes or examples of a run, and compare with retraining.",
    "verify": "Verify that an unlearned run has forgotten, beside retrained models.",
    "report": "Write one page that tells what was asked, done and proven, of one run or several.",
    "evaluate": "Measure a run's model on its test set, or by groups of memorisation (--gme).",
    "channels": "Measure what each channel of a run's model matters for what is to be forgotten.",
    "ratio": "Suggest a ratio for unlearn --method memorization.",
    "sweep": "Run a grid of rules, defenses, attacks and seeds, and show it as a table.",
    "worker": "Work for trainings on this or other machines (train --worker).",
    "methods": "List the installed methods with their source and paper.",
    "check": "Check a method against the contract of its family.",
    "check-aggregator": "Check anybody's aggregation function, also against one of ours.",
    "prune": "Prune a Keras model in a file.",
    "data": "List data sets, or show how one is spread over clients.",
    "models": "List the models with their sizes.",
}


class _Commands(click.Group):
    """Imports a subcommand's module only when that subcommand is asked for."""

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
    """Federated Keras models: train under attack, defend, forget, prove."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run() -> None:
    """Runs the command line; 2 is the exit code of the user's mistakes, 1 of ours."""
    signals.install()
    warnings.showwarning = _warn
    _show_warnings()
    sys.unraisablehook = lambda _: None  # what destructors trip over after an error says nothing
    code = _exit_code()
    if signals.received:  # native threads in the middle of something would abort a normal exit
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _warn(message, *_, **__) -> None:
    print("tfunlearn: warning: " + " ".join(str(message).split()), file=sys.stderr)


def _show_warnings() -> None:
    """Takes back what makes errors of warnings (PYTHONWARNINGS=error): most come from libraries."""
    warnings.filters[:] = [entry for entry in warnings.filters if entry[0] != "error"]
    warnings.simplefilter("ignore", ImportWarning, append=True)  # makes the change known, too


def _exit_code() -> int:
    try:
        with tfunlearn_command.make_context("tfunlearn", sys.argv[1:]) as context:
            tfunlearn_command.invoke(context)
        if sys.stdout is not None:  # it was closed before we began
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
    except BrokenPipeError:  # the reader has gone, as in `tfunlearn train | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (WorkerError, FailedRun) as error:
        return _say(str(error), 1)
    except OSError as error:  # a full disk, a folder that vanished
        return _say(f"{error.filename or 'output'}: {error.strerror or error}", 1)
    except SystemExit as error:
        return error.code
    except Exception as error:
        if signals.received:  # native code has made something else of it
            if signal.SIGINT in signals.received:
                return _say("interrupted", 130)
            return 128 + signals.received[0]
        traceback.print_exc()
        return _say(f"internal error, please report: {error!r}", 1)


def _say(message: str, code: int) -> int:
    print("tfunlearn: " + " ".join(message.split()), file=sys.stderr)
    return code

"""Command-line options made from the fields of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import click

from tfunlearn.config.presets import preset, presets
from tfunlearn.config.reading import fields_by_name, read_config
from tfunlearn.core.errors import require
from tfunlearn.core.fields import ConfigField
from tfunlearn.core.requests import read_examples
from tfunlearn.models.saved import allowing_code


class _CountOrFraction(click.ParamType):
    name = "count or fraction"

    def __init__(self, words: bool = False):
        self.words = words

    def convert(self, value, param, ctx):
        try:
            return int(value)
        except ValueError:
            pass
        try:
            return float(value)
        except ValueError:
            if self.words:
                return value
            self.fail(f"{value!r} is neither a count (3) nor a fraction (0.3)", param, ctx)


def config_options(names: Iterable[str] | None = None) -> Callable:
    """Returns a decorator that adds `--config` and one flag per field.

    Args:
        names: fields to offer; default all.
    """
    fields = fields_by_name()

    def decorate(function):
        function = field_options({name: fields[name] for name in names or fields})(function)
        return click.option(
            "--config",
            metavar="FILE",
            help="Read fields from a .json or .toml file; flags override it.",
        )(function)

    return decorate


def field_options(fields: Mapping[str, ConfigField]) -> Callable:
    """Returns a decorator that adds one flag per field."""

    def decorate(function):
        for name, field in reversed(fields.items()):
            function.__click_params__ = [
                *getattr(function, "__click_params__", []),
                option_of(name, field),
            ]
        return function

    return decorate


def preset_option(function: Callable) -> Callable:
    """Adds `--preset`."""
    return click.option(
        "--preset",
        metavar="NAME",
        help="Begin with the settings of a paper's "
        "experiment, such as "
        f"{presets()[-1]}; --config and flags override it; an unknown name lists "
        "all.",
    )(function)


def allow_code_option(function: Callable) -> Callable:
    """Adds `--allow-code`, for the command and all model files that it reads."""

    def allow(context, parameter, value) -> None:
        if value:
            context.with_resource(allowing_code())

    return click.option(
        "--allow-code",
        is_flag=True,
        expose_value=False,
        callback=allow,
        help="Load model files that carry code (Lambda layers and the like). Loading one runs what "
        "its author wrote, with all your rights: only for files of people whom you trust.",
    )(function)


def request_options(function: Callable, *, default: bool = True) -> Callable:
    """Adds the flags that say what is to be forgotten; by default all clients that attacked."""
    told = "  [default, unless something else is named]" if default else ""
    for option in reversed(
        (
            click.option(
                "--malicious", is_flag=True, help=f"Forget all clients that attacked.{told}"
            ),
            click.option(
                "--client",
                "clients",
                multiple=True,
                type=click.IntRange(min=0),
                metavar="ID",
                help="Forget a client, may be repeated.",
            ),
            click.option(
                "--class",
                "classes",
                multiple=True,
                type=click.IntRange(min=0),
                metavar="LABEL",
                help="Forget a class at every client, may be repeated.",
            ),
            click.option(
                "--examples",
                metavar="PAIRS|FILE",
                help="Forget examples: client:index,... "
                "with indices from 0, or a file with one client:index a line.",
            ),
        )
    ):
        function = option(function)
    return function


def request_words(
    malicious: bool, clients: Iterable[int], classes: Iterable[int], examples: str | None
) -> list[str]:
    """Returns the words of the request that the flags make, none if none was given."""
    words = [
        *(["malicious"] if malicious else []),
        *(f"client:{k}" for k in clients),
        *(f"class:{c}" for c in classes),
    ]
    if examples is not None:
        require("examples", examples, examples != "", "client:index,... or a file")
        words += read_examples(examples)
    return words


def preset_fields(name: str | None, command: str) -> dict:
    """Returns the fields that a preset sets for a command; none without a name."""
    return {} if name is None else preset(name, command)


def merged(config: str | None, flags: dict, begin: Mapping = {}) -> dict:
    """Returns the fields of a preset, overridden by those of the file, overridden by the flags
    that were given."""
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    return {**begin, **({} if config is None else read_config(config)), **given}


def option_of(name: str, field: ConfigField) -> click.Option:
    """Return the flag of a field."""
    flag = f"--{name.replace('_', '-')}"
    shown = "none" if field.default in (None, ()) else field.default
    options = dict(help=f"{field.help}  [default: {shown}]")
    if field.many:
        return click.Option([flag], multiple=True, metavar="NAME", **options)
    if bool in field.kinds:
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=None, **options)
    if {int, float} <= set(field.kinds):
        return click.Option(
            [flag], type=_CountOrFraction(str in field.kinds), metavar="N", **options
        )
    return click.Option(
        [flag], type=next(kind for kind in (float, int, str) if kind in field.kinds), **options
    )

"""Command-line options built from the fields of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from tfunlearn.config.presets import preset, presets
from tfunlearn.config.reading import fields_by_name, read_config
from tfunlearn.core.errors import require
from tfunlearn.core.fields import ConfigField
from tfunlearn.core.requests import read_examples
from tfunlearn.engines import ENGINES, using_engine
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
    """Return a decorator that adds `--config` and one flag per field.

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
    """Return a decorator that adds one flag per field."""

    def decorate(function):
        for name, field in reversed(list(fields.items())):
            function.__click_params__ = [
                *getattr(function, "__click_params__", []),
                option_of(name, field),
            ]
        return function

    return decorate


def preset_option(function: Callable) -> Callable:
    """Add `--preset`."""
    return click.option(
        "--preset",
        metavar="NAME",
        help="Start from the settings of a published "
        "experiment, such as "
        f"{presets()[-1]}; --config and flags override it; an unknown name lists "
        "all.",
    )(function)


def allow_code_option(function: Callable) -> Callable:
    """Add `--allow-code`, which applies to all model files that the command reads."""

    def allow(context, parameter, value) -> None:
        if value:
            context.with_resource(allowing_code())

    return click.option(
        "--allow-code",
        is_flag=True,
        expose_value=False,
        callback=allow,
        help="Load model files that contain code (Lambda layers and the like). Loading a file runs "
        "its code with all your rights: only for files from people you trust.",
    )(function)


def engine_option(function: Callable) -> Callable:
    """Add `--engine`, which applies to all rounds that the command runs."""

    def take(context, parameter, value) -> None:
        if value is not None:
            context.with_resource(using_engine(value))

    return click.option(
        "--engine",
        metavar="NAME",
        expose_value=False,
        callback=take,
        help=f"Engine that runs the clients: {', '.join(ENGINES)}.  [default: that of the run]",
    )(function)


def request_options(function: Callable, *, default: bool = True) -> Callable:
    """Add the flags of the forget set; `default` marks malicious clients as the default."""
    told = "  [default, if nothing else is named]" if default else ""
    for option in reversed(
        (
            click.option("--malicious", is_flag=True, help=f"Forget all malicious clients.{told}"),
            click.option(
                "--client",
                "clients",
                multiple=True,
                metavar="NAME",
                help="Forget a client, by name (a hospital) or number, may be repeated.",
            ),
            click.option(
                "--class",
                "classes",
                multiple=True,
                metavar="NAME",
                help="Forget a class at all clients, by name or number, may be repeated.",
            ),
            click.option(
                "--examples",
                metavar="PAIRS|FILE|FOLDER",
                help="Forget examples: client:index,... with indices from 0; a file with a "
                "client:index or one of the data's own identifiers per line; a CSV file with a "
                "column id; or a folder of the files.",
            ),
        )
    ):
        function = option(function)
    return function


def request_words(
    malicious: bool, clients: Iterable[str], classes: Iterable[str], examples: str | None
) -> list[str]:
    """Return the request of the flags as words; empty if no flag was given."""
    for field, names in (("client", clients), ("class", classes)):
        for name in names:
            require(field, name, bool(str(name).strip()), "a name or a number")
    words = [
        *(["malicious"] if malicious else []),
        *(f"client-name:{k}" for k in clients),
        *(f"class-name:{c}" for c in classes),
    ]
    if examples is not None:
        require("examples", examples, examples != "", "client:index,... or a file")
        words += read_examples(examples)
    return words


def preset_fields(name: str | None, command: str) -> dict:
    """Return the fields that a preset sets for a command; none without a name."""
    return {} if name is None else preset(name, command)


def merged(config: str | None, flags: dict, begin: Mapping = {}) -> dict:
    """Return the fields of a preset, overridden by the file, overridden by the given flags."""
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    return {**begin, **({} if config is None else read_config(config)), **given}


def option_of(name: str, field: ConfigField) -> click.Option:
    """Return the flag of a field."""
    flag = f"--{name.replace('_', '-')}"
    shown = "none" if field.default in (None, ()) else field.default
    options: dict[str, Any] = dict(help=f"{field.help}  [default: {shown}]")
    if field.many:
        return click.Option([flag], multiple=True, metavar="NAME", **options)
    if bool in field.kinds:
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=None, **options)
    if {int, float} <= set(field.kinds):
        return click.Option(
            [flag], type=_CountOrFraction(str in field.kinds), metavar="N", **options
        )
    return click.Option(
        [flag], type=next(kind for kind in (str, float, int) if kind in field.kinds), **options
    )

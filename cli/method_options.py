"""Flags of the chosen methods: a command offers the settings of the methods that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from tfunlearn.config.presets import preset
from tfunlearn.config.reading import read_config
from tfunlearn.core.errors import UserError
from tfunlearn.core.families import Family
from tfunlearn.core.fields import ConfigField
from tfunlearn.models.saved import is_model_file
from tfunlearn_cli.options import option_of

_CHOSEN = "tfunlearn.chosen"


@dataclass(frozen=True)
class Choice:
    """A flag that names methods.

    Attributes:
        family: family of the methods.
        default: methods if none is named; default none.
        optional: words that name no single method, such as auto, with the fields that they allow.
        listed: whether the help lists the methods.
    """

    family: Family
    default: tuple[str, ...] = ()
    optional: Mapping[str, Callable[[], dict[str, ConfigField]]] | None = None
    listed: bool = True

    def fields(self, name: str) -> dict[str, ConfigField]:
        """Return the settings of a method, or those that a word such as auto allows."""
        if self.optional and name in self.optional:
            return self.optional[name]()
        return {} if is_model_file(name) else self.family.fields(name)


class MethodCommand(click.Command):
    """A command with a flag for every setting of the methods that its other flags choose.

    Methods can also be chosen by the file of `--config` and by `--preset`.

    Args:
        choices: the flags that name methods, by field.
        section: section of the command in presets.
    """

    def __init__(self, *args: Any, choices: Mapping[str, Choice], section: str, **more: Any):
        super().__init__(*args, **more)
        self._choices, self._section = choices, section

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_CHOSEN] = self._chosen(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise self._explain(ctx, error) from error

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own = {
            name: field for _, _, fields in self._sections(ctx) for name, field in fields.items()
        }
        taken = {parameter.name for parameter in self.params}
        return [
            *super().get_params(ctx),
            *(option_of(name, field) for name, field in own.items() if name not in taken),
        ]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        common = [
            record
            for parameter in super().get_params(ctx)
            if isinstance(parameter, click.Option)
            and (record := parameter.get_help_record(ctx)) is not None
        ]
        with formatter.section("Options"):
            formatter.write_dl(common)
        for field, name, fields in self._sections(ctx):
            choice = self._choices[field]
            if fields and not (choice.optional and name in choice.optional):
                with formatter.section(f"Settings of --{field} {name}"):
                    formatter.write_dl(
                        [
                            record
                            for own, one in fields.items()
                            if (record := option_of(own, one).get_help_record(ctx))
                        ]
                    )
        for field, choice in self._choices.items():
            named = [
                name
                for name in ctx.meta.get(_CHOSEN, {}).get(field, ())
                if name not in (choice.optional or {})
            ]
            if choice.listed and not named:
                with formatter.section(
                    f"Names for --{field} (--{field} NAME --help shows the settings of NAME)"
                ):
                    formatter.write_dl(
                        [(name, method.summary) for name, method in choice.family.items()]
                    )

    def _sections(self, ctx: click.Context) -> list[tuple[str, str, dict[str, ConfigField]]]:
        """Return `(field, method, its settings)` of every chosen method."""
        chosen: Mapping[str, Sequence[str]] = ctx.meta.get(_CHOSEN, {})
        return [
            (field, name, self._choices[field].fields(name))
            for field, names in chosen.items()
            for name in names
        ]

    def _chosen(self, args: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the methods named by flags, else the file, else the preset, else the default."""
        config = _values(args, "config")[-1:]
        begin = _values(args, "preset")[-1:]
        found = {}
        stored = _quietly(lambda: read_config(config[0])) if config else {}
        table = _quietly(lambda: preset(begin[0], self._section)) if begin else {}
        for field, choice in self._choices.items():
            names = _values(args, field)
            for values in (stored, table):
                if not names and field in values:
                    value = values[field]
                    names = (
                        [value]
                        if isinstance(value, str)
                        else [name for name in value if isinstance(name, str)]
                        if isinstance(value, Iterable)
                        else []
                    )
            found[field] = tuple(name for name in names if name != "none") or choice.default
        return found

    def _explain(self, ctx: click.Context, error: click.NoSuchOption) -> click.UsageError:
        """Return the error for a flag of methods that are not chosen."""
        name = error.option_name.lstrip("-").removeprefix("no-").replace("-", "_")
        for field, choice in self._choices.items():
            users = choice.family.users(name)
            if users:
                chosen = ", ".join(ctx.meta[_CHOSEN][field]) or "none"
                return click.UsageError(
                    f"{error.option_name}: not allowed with --{field} {chosen}; "
                    f"it is for {', '.join(users)}",
                    ctx,
                )
        return error


def _values(args: Sequence[str], field: str) -> list[str]:
    """Return the values of a flag in the arguments of a command line."""
    flag, found = f"--{field.replace('_', '-')}", []
    for place, word in enumerate(args):
        if word == "--":
            break
        if word == flag and place + 1 < len(args):
            found.append(args[place + 1])
        elif word.startswith(f"{flag}="):
            found.append(word[len(flag) + 1 :])
    return found


def _quietly(read: Callable[[], dict]) -> dict:
    """Return the result, or nothing on an error, which the command reports when it reads again."""
    try:
        return read()
    except UserError:
        return {}

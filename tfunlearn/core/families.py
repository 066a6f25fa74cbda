"""Families of methods: built-in methods by name, user-defined ones by specification.

A family is a folder of modules. Every object of the family's kind that a module of the folder
defines is a built-in method, so adding a file adds a method.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import pathlib
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from tfunlearn.core.declarations import require_declaration, require_settings
from tfunlearn.core.errors import Terminated, UserError, first_line, nearest, refuse
from tfunlearn.core.fields import ConfigField, check_types, fields_of, reporting
from tfunlearn.core.files import checksum, user_path
from tfunlearn.core.lazy import tf

_OURS = __name__.partition(".")[0]
GROUP = "tfunlearn"  # entry points are in the groups `tfunlearn.<family>`


@dataclass(frozen=True)
class NoSettings:
    """Settings of a method without settings."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """Base class of all method declarations.

    Attributes:
        name: its name in configurations and on the command line.
        summary: one-line description.
        paper: authors, venue, arXiv number; empty if there is none.
        settings: frozen dataclass of its own settings, each declared by `option`; it validates
            them.
    """

    name: str
    summary: str
    paper: str = ""
    settings: type = NoSettings

    def __post_init__(self):
        if not isinstance(self.settings, type) or not dataclasses.is_dataclass(self.settings):
            raise UserError(
                f"settings: must be a dataclass in the declaration of {self.name}; "
                f"got {self.settings!r}"
            )

    def _require_settings(self, base: type) -> None:
        """Check that the settings are a subclass of `base`."""
        if not issubclass(self.settings, base):
            raise UserError(
                f"settings: must be a subclass of {base.__name__} in the declaration of "
                f"{self.name}; got {self.settings.__name__}"
            )


M = TypeVar("M", bound=Method)


@dataclass(frozen=True)
class Origin:
    """Origin of a method that is not built in.

    Attributes:
        name: the specification, or the name of an entry point or of a registered object.
        file: absolute path of the file that defines it, None if there is none (a notebook).
        sha256: SHA-256 of that file, None without one.
        package: distribution and version that provides the entry point, else None.
    """

    name: str
    file: str | None
    sha256: str | None
    package: str | None = None


class Family(Mapping[str, M], Generic[M]):
    """The methods of one family, by name.

    As a mapping it contains the built-in methods. `find` also accepts `package.module:name`,
    `file.py:name`, the name of an entry point of the group `tfunlearn.<family>`, and the name of a
    registered object.

    Args:
        name: name of the family, as in `tfunlearn methods --family`.
        field: the configuration field that names a method.
        kind: class of its methods.
        package: package whose modules define the built-in methods.
        adapt: makes a method of a plain function, `(name, function) -> method`; None if the family
            takes no plain functions.
        takes: signature of such a function, for messages.
        reserved: names that a method's own settings may not have.
        flags: parameters of the command whose flags the settings become; also not allowed.
        wraps: type of objects that `adapt` takes besides functions; default none.
        on_demand: `(name) -> (canonical name, method)` of names that are methods without being
            listed, such as paths of files; None for other names. Default none.
        on_demand_settings: returns their kinds, in words, with their settings; for messages.
    """

    def __init__(
        self,
        name: str,
        *,
        field: str,
        kind: type[M],
        package: str,
        adapt: Callable[[str, Callable], M] | None = None,
        takes: str = "",
        reserved: Iterable[str] = (),
        flags: Iterable[str] = (),
        wraps: type | tuple[type, ...] = (),
        on_demand: Callable[[str], tuple[str, M] | None] | None = None,
        on_demand_settings: Callable[[], Mapping[str, type]] | None = None,
    ):
        self.reserved, self.flags = frozenset(reserved), frozenset(flags)
        self.name, self.field, self.kind, self._package = name, field, kind, package
        self._adapt, self._takes, self._wraps = adapt, takes, wraps
        self._on_demand = on_demand or (lambda name: None)
        self._on_demand_settings = on_demand_settings or dict
        self._built_in: dict[str, M] | None = None
        self._loaded: dict[str, tuple[M, Origin]] = {}
        self._objects: dict[str, Any] = {}

    def __getitem__(self, name: str) -> M:
        return self._members()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members())

    def __len__(self) -> int:
        return len(self._members())

    def __hash__(self) -> int:  # families compare by identity, not by content
        return object.__hash__(self)

    __eq__ = object.__eq__

    def find(self, name: str) -> M:
        """Return a method by name or specification.

        Raises:
            UserError: unknown name (the nearest one is named), or a specification that cannot be
                loaded or is no method of this family.
        """
        return self._found(name)[0]

    def origin(self, name: str) -> Origin | None:
        """Return the origin of a method; None for a built-in one."""
        return self._found(name)[1]

    def name_of(self, method: Any) -> str:
        """Return the configuration value for a name, a specification or an object.

        Names and specifications are returned unchanged, except that the path of a file becomes
        absolute. An object is registered under the returned name for the rest of this process.

        Raises:
            UserError: the object is no method of this family.
        """
        if isinstance(method, str):
            target, _, attribute = method.rpartition(":")
            if target.endswith(".py"):
                return f"{os.path.abspath(user_path(target))}:{attribute}"
            found = None if method in self else self._on_demand(method)
            return method if found is None else found[0]
        member = self._adapt_object(
            getattr(method, "__name__", None) or getattr(method, "name", "it"), method
        )
        if isinstance(method, self.kind) and self.get(member.name) is method:
            return member.name
        module, attribute = _place_of(method)
        name = f"{module}:{attribute}" if module else self._free_name(f"object:{attribute}", method)
        self._loaded[name] = (member, _origin(name, _file_of(method)))
        return name

    def refresh(self, name: str) -> None:
        """Load a method given as `file.py:name` again at its next use if its file has changed.

        For the functions that make a configuration of names: a configuration that exists already
        must not change while it is used.
        """
        name = self.name_of(name)
        _, origin = self._loaded.get(name, (None, None))
        if origin is None or not name.startswith(f"{origin.file}:"):
            return
        if os.path.isfile(str(origin.file)) and checksum(str(origin.file)) != origin.sha256:
            del self._loaded[name]

    def same_as(self, name: str) -> tuple[str, str, str]:
        """Return a key that is equal for all names of one method: its file and its attribute."""
        member, origin = self._found(name)
        if origin is None or origin.file is None or self.get(member.name) is member:
            return "", name if origin is None else member.name, ""
        spec = self.entry_points()[name].value if origin.package else name
        return origin.file, spec.rpartition(":")[2], member.name

    def _free_name(self, name: str, method: Any) -> str:
        """Return `name`, numbered if another object of this process has it."""
        number = 1
        while True:
            numbered = name if number == 1 else f"{name}#{number}"
            if self._objects.setdefault(numbered, method) is method:
                return numbered
            number += 1

    def fields(self, name: str) -> dict[str, ConfigField]:
        """Return a method's own settings by field name, inherited ones last."""
        settings = self.find(name).settings
        found = fields_of(settings)
        return dict(
            sorted(
                found.items(),
                key=lambda item: item[0] not in vars(settings).get("__annotations__", {}),
            )
        )

    def users(self, field: str) -> list[str]:
        """Return the names of the methods that have a setting of the given name."""
        kinds = {
            **{name: method.settings for name, method in self.items()},
            **self._on_demand_settings(),
        }
        return [name for name, settings in kinds.items() if field in fields_of(settings)]

    def built_in_fields(self) -> dict[str, ConfigField]:
        """Return the settings of all built-in methods by field name."""
        found: dict[str, ConfigField] = {}
        for method in self.values():
            for name, field in fields_of(method.settings).items():
                found.setdefault(name, field)
        for settings in self._on_demand_settings().values():
            found = {**fields_of(settings), **found}
        return found

    def entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        """Return the entry points that installed packages declare for this family, by name."""
        return {
            point.name: point
            for point in importlib.metadata.entry_points(
                group=f"{GROUP}.{self.name.replace('-', '_')}"
            )
        }

    def _members(self) -> dict[str, M]:
        if self._built_in is None:
            found: dict[str, M] = {}
            places: dict[str, str] = {}
            package = importlib.import_module(self._package)
            for info in pkgutil.iter_modules(package.__path__):
                if info.name.startswith("_"):
                    continue
                module = importlib.import_module(f"{self._package}.{info.name}")
                for value in list(vars(module).values()):
                    if not isinstance(value, self.kind):
                        continue
                    if found.setdefault(value.name, value) is not value:
                        raise RuntimeError(
                            f"two methods named {value.name}, in {places[value.name]} and "
                            f"{module.__name__}; rename one"
                        )
                    places.setdefault(value.name, module.__name__)
            self._built_in = dict(sorted(found.items()))
        return self._built_in

    def _found(self, name: str) -> tuple[M, Origin | None]:
        if name in self:
            return self[name], None
        if name in self._loaded:
            return self._loaded[name]
        found = self._on_demand(name)
        if found is not None:
            return found[1], None
        points = self.entry_points()
        if name in points:
            point = points[name]
            package = None if point.dist is None else f"{point.dist.name} {point.dist.version}"
            member, origin = self._load(name, point.value, package)
        elif name.startswith("object:"):
            raise UserError(
                f"{self.field}: {name} was given as a Python object that no module "
                "holds; it is known only in the process that made it"
            )
        elif ":" in name:
            member, origin = self._load(name, name, None)
        else:
            known = [*self, *points]
            if name.endswith(".py"):
                raise UserError(
                    f"{self.field}: must be file.py:name, with the name of the function or "
                    f"object in the file; got {name!r}"
                )
            raise UserError(
                f"{self.field}: unknown name '{name}'{nearest(name, known)} (known: "
                f"{', '.join(sorted(known))}; yours: package.module:name or file.py:name)"
            )
        self._loaded[name] = member, origin
        return member, origin

    def _load(self, name: str, spec: str, package: str | None) -> tuple[M, Origin]:
        found = load_object(self.field, spec)
        member = self._adapt_object(spec.rpartition(":")[2], found)
        target = spec.rpartition(":")[0]
        file = (
            os.path.abspath(user_path(target))
            if target.endswith(".py")
            else _file_of(found, sys.modules.get(target))
        )
        return member, _origin(name, file, package)

    def _adapt_object(self, name: str, found: Any) -> M:
        """Return an object as a method of this family; plain functions are adapted."""
        try:
            return self._reporting(self._checked(name, found))
        except UserError as error:
            raise UserError(f"{self.field}: {error}")

    def _checked(self, name: str, found: Any) -> M:
        """Return an object as a checked method of this family; see `_adapt_object`."""
        member = found
        plain = (callable(found) and not isinstance(found, Method)) or isinstance(
            found, self._wraps
        )
        if self._adapt is not None and plain:
            member = self._adapt(name, cast(Callable, found))
        if not isinstance(member, tuple(self._kinds())):
            kinds = ", ".join(kind.__name__ for kind in self._kinds())
            takes = f", or {self._takes}" if self._takes else ""
            raise UserError(f"{name} must be of type {kinds}{takes}; got {type(found).__name__}")
        if isinstance(found, Method):
            require_declaration(member)
        require_settings(member.settings, name, self.flags)
        for taken in self.reserved & fields_of(member.settings).keys():
            raise UserError(
                f"{name} must have settings of other names than "
                f"{', '.join(sorted(self.reserved))}; got {taken!r}; rename it"
            )
        return member

    def make_settings(self, name: str, values: Mapping[str, Any] = {}) -> Any:
        """Return the own settings of a method with the given values, others at their defaults.

        Raises:
            UserError: a value out of range, or the check of a user's settings failed.
        """
        try:
            return self.find(name).settings(**values)
        except (UserError, Terminated):
            raise
        except (Exception, SystemExit) as error:
            if name in self:
                raise
            raise UserError(
                f"{self.field}: the settings of {name} raised {type(error).__name__} "
                f"({first_line(error)}); got {values}"
            ) from error

    def _kinds(self) -> list[type]:
        """Return the classes that methods may be of; a base with subclasses is none of them."""
        ours = [kind for kind in self.kind.__subclasses__() if kind.__module__.startswith(_OURS)]
        return ours or [self.kind]

    def _reporting(self, member: M) -> M:
        """Return a method whose own functions raise errors of one line."""
        own = {
            field.name: reporting(self.field, value, member.name)
            for field in dataclasses.fields(member)
            if inspect.isfunction(value := getattr(member, field.name))
            and str(value.__module__).partition(".")[0] != _OURS
        }
        return dataclasses.replace(member, **own) if own else member


def settings_for(
    chosen: Sequence[tuple[Family, str]],
    values: Mapping[str, Any],
    *,
    common: Iterable[str] = (),
    as_typed: bool = True,
    others: Sequence[Family] = (),
) -> list[Any]:
    """Return the own settings of each chosen method.

    Fields of other built-in methods of the same families are accepted at their defaults, as earlier
    builds wrote them.

    Args:
        chosen: families and names of the methods.
        values: flat fields; one that several methods have goes to each of them.
        common: names of other fields, suggested in messages.
        as_typed: whether to check value types as those of a file or a command line; otherwise only
            the settings classes validate.
        others: families whose fields are known although none of their methods is chosen.

    Raises:
        UserError: unknown field, field of a method that is not chosen, wrong type, or value out of
            range.
    """
    require_known(chosen, values, common=common, others=others)
    known, found = [family.fields(name) for family, name in chosen], []
    for (family, method), fields in zip(chosen, known):
        own = {name: value for name, value in values.items() if name in fields}
        found.append(family.make_settings(method, check_types(own, fields) if as_typed else own))
    return found


def require_known(
    chosen: Sequence[tuple[Family, str]],
    values: Mapping[str, Any],
    *,
    common: Iterable[str] = (),
    others: Sequence[Family] = (),
) -> None:
    """Check that every field belongs to a chosen method or is at its default; see `settings_for`.

    Raises:
        UserError: unknown field, or field of a method that is not chosen.
    """
    known = [family.fields(name) for family, name in chosen]
    for name, value in values.items():
        if not any(name in fields for fields in known):
            _require_unused(name, value, chosen, others, [*common, *(n for f in known for n in f)])


def _require_unused(
    name: str,
    value: Any,
    chosen: Sequence[tuple[Family, str]],
    others: Sequence[Family],
    known: Sequence[str],
) -> None:
    """Check that a field of a method that is not chosen has its default value."""
    users, every = {}, list(known)
    for family in dict.fromkeys((*(family for family, _ in chosen), *others)):
        fields = family.built_in_fields()
        every += fields
        if name in fields and value == fields[name].default:
            return
        if name in fields:
            users[family.field] = family.users(name)
    if not users:
        raise UserError(f"config: unknown field '{name}'{nearest(name, every)}")
    named = ", ".join(
        dict.fromkeys(
            f"{family.field} {method}" for family, method in chosen if family.field in users
        )
    )
    methods = ", ".join(method for methods in users.values() for method in methods)
    refuse(name, value, False, f"with {named or 'the chosen methods'}; it is for {methods}")


def short_name(name: str) -> str:
    """Return a method's name for file names: of a specification, the part after the colon."""
    return name.rpartition(":")[2]


def file_name(name: str) -> str:
    """Return a method's name as part of a file's name: of a path, its stem."""
    stem = pathlib.PurePath(short_name(name)).stem if os.sep in name else short_name(name)
    return "".join(c if c.isalnum() or c in "-_.+" else "-" for c in stem) or "data"


def load_object(field: str, spec: str) -> Any:
    """Return the object named by `package.module:name` or `file.py:name`.

    Modules are also searched in the current folder. This runs the module's code.

    Raises:
        UserError: the module cannot be imported, or has no such name.
    """
    target, _, attribute = spec.rpartition(":")
    try:
        found: Any = _file_module(user_path(target)) if target.endswith(".py") else _module(target)
        for part in attribute.split("."):
            if not hasattr(found, part):
                raise UserError(
                    f"{field}: {target} must define {attribute!r}"
                    f"{nearest(attribute, [name for name in dir(found) if name[0] != '_'])}"
                )
            found = getattr(found, part)
        return found
    except (UserError, Terminated):
        raise
    except (Exception, SystemExit) as error:  # importing runs other people's code
        raise UserError(
            f"{field}: {spec} cannot be loaded ({_load_error(error, target)}); give a built-in "
            "name, package.module:name or file.py:name"
        ) from error


def _load_error(error: BaseException, target: str) -> str:
    """Return type, text and line of an error of an import."""
    if isinstance(error, SystemExit):
        return "it calls exit"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.endswith(os.path.basename(target))
    ]
    place = f", line {lines[-1]}" if lines and target.endswith(".py") else ""
    return f"{type(error).__name__}: {first_line(error)}{place}"


def copy_name(origin: Mapping[str, Any]) -> str:
    """Return the name of the copy of a method's file in a run directory."""
    path = pathlib.Path(origin["file"])
    return f"{path.stem}-{origin['sha256'][:8]}{path.suffix}"


def require_origin(
    field: str,
    origin: Mapping[str, Any],
    family: Family,
    copies: str | os.PathLike | None = None,
) -> None:
    """Check, before it is imported, that a method is the one that a run used.

    Args:
        field: the configuration field that names it.
        origin: an `Origin` as stored in a run's `config.json`.
        family: the method's family.
        copies: folder that holds copies of the run's own methods, named in messages.

    Raises:
        UserError: its package or file is missing, or the file has changed.
    """
    name, file = origin["name"], origin.get("file")
    if origin.get("package") and name not in family.entry_points():
        raise UserError(
            f"{field}: {name} came from the package {origin['package']}, which is not "
            "installed here; install it"
        )
    if file is None or (origin.get("package") and not os.path.isfile(file)):
        return  # `require_same` compares the installed package's file
    copy = "" if copies is None else os.path.join(copies, copy_name(origin))
    kept = f" (a copy is {copy})" if os.path.isfile(copy) else ""
    if not os.path.isfile(file):
        raise UserError(
            f"{field}: {name} came from {file}, which is missing; put the file back{kept}"
        )
    family.refresh(name)
    if checksum(file) != origin["sha256"]:
        raise UserError(
            f"{field}: {file}, where {name} came from, has changed since the run began "
            f"(SHA-256 then {origin['sha256'][:16]}...); put that file back{kept}"
        )


def require_same(field: str, origin: Mapping[str, Any], family: Family) -> None:
    """Check, after it was imported, that a method comes from the same file content as in a run.

    Args:
        field: the configuration field that names it.
        origin: an `Origin` as stored in a run's `config.json`.
        family: the method's family.

    Raises:
        UserError: its name now stands for another file's method.
    """
    now = family.origin(origin["name"])
    if now is not None and now.sha256 != origin.get("sha256"):
        raise UserError(
            f"{field}: {origin['name']} is now that of {now.file}, another than the run's "
            f"({origin.get('file')}); run where that one is found, or name it as file.py:name"
        )


def _module(name: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return importlib.import_module(name)


def _file_module(path: pathlib.Path) -> Any:
    """Import a file under a unique name; the same content at the same path is imported once.

    What was read is what runs: Python's own cache of compiled files takes a file for unchanged
    that was edited within a second and has kept its size.
    """
    path = path.absolute()
    content = path.read_bytes()
    digest = hashlib.sha256(str(path).encode() + content).hexdigest()[:16]
    name = f"_tfunlearn_{path.stem}_{digest}"
    if name not in sys.modules:
        if b"tensorflow" in content or b"keras" in content:
            _ = tf.__version__  # first import it as everywhere here: quietly, with our settings
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None  # it ends in .py
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            exec(compile(content, str(path), "exec", dont_inherit=True), vars(module))
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _place_of(method: Any) -> tuple[str | None, str]:
    """Return module (None if it cannot be imported elsewhere) and name of an object."""
    module = getattr(method, "__module__", None)
    attribute = getattr(method, "__qualname__", None)
    if isinstance(method, Method):
        for name, holder in list(sys.modules.items()):
            for key, value in list(getattr(holder, "__dict__", {}).items()):
                if value is method and name != "__main__" and not name.startswith("_tfunlearn_"):
                    return name, key
        return None, method.name
    if module in (None, "__main__") or attribute is None or "<" in attribute:
        return None, attribute or type(method).__name__
    return module, attribute


def _file_of(found: Any, module: Any = None) -> str | None:
    """Return the file that defines a function, or a method's functions; None without one.

    Args:
        found: a function, or a method.
        module: the module that it was found in; its file if the method has no function of the same
            package.
    """
    parts = [found]
    if isinstance(found, Method):
        parts = [getattr(found, field.name) for field in dataclasses.fields(found)]
    package = None if module is None else module.__name__.partition(".")[0]
    for part in parts:
        if inspect.isfunction(part) or inspect.isclass(part):
            owner = str(part.__module__).partition(".")[0]
            if owner != _OURS and (package is None or owner == package or part is found):
                try:
                    return inspect.getsourcefile(inspect.unwrap(part))
                except TypeError:  # defined where there is no file
                    break
    return getattr(module, "__file__", None)


def _origin(name: str, file: str | None, package: str | None = None) -> Origin:
    known = file is not None and os.path.isfile(file)
    return Origin(
        name,
        os.path.abspath(file) if known and file else None,
        checksum(file) if known and file else None,
        package,
    )


__all__ = [
    "Family",
    "Method",
    "NoSettings",
    "Origin",
    "copy_name",
    "file_name",
    "load_object",
    "require_origin",
    "require_same",
    "require_known",
    "settings_for",
    "short_name",
]

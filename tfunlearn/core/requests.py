"""Unlearning requests: clients, classes or single examples, in one form for all methods."""

from __future__ import annotations

import csv
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError, first_line, nearest, require
from tfunlearn.core.files import user_path
from tfunlearn.core.labels import class_number

FORMS = (
    "malicious, detected, client:ID, class:LABEL, example:CLIENT:INDEX, client-name:NAME, "
    "class-name:NAME, or example-id:ID"
)
_PATTERNS = {
    "clients": re.compile(r"client:(\d{1,9})"),
    "classes": re.compile(r"class:(\d{1,9})"),
    "examples": re.compile(r"example:(\d{1,9}):(\d{1,9})"),
}
_PAIR = re.compile(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*")
_ENDS_IN_ID = re.compile(r"[\s_.-](id|ID|Id)$|[a-z](ID|Id)$")  # not paid, valid, covid
_NAMES = ("client-name:", "class-name:", "example-id:")
DETECTED = "detected"
NAMED = 5  # identifiers quoted in a message


@dataclass(frozen=True)
class ForgetRequest:
    """An unlearning request; its examples form the forget set, all others the retain set.

    Attributes:
        clients: ids of clients whose examples are all in the forget set.
        classes: labels whose examples are in the forget set at every client (original labels of
            the data, not labels changed by an attack).
        examples: pairs `(client, index)`; the index counts a client's examples from 0 in the
            order of the run's partition, regardless of earlier unlearning.
        names: words by the data's own names, such as `class-name:cat`; `resolve` replaces them.
    """

    clients: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    examples: tuple[tuple[int, int], ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self):
        for field in ("clients", "classes", "examples", "names"):
            object.__setattr__(self, field, tuple(sorted(set(getattr(self, field)))))

    @classmethod
    def parse(
        cls,
        words: Iterable[str],
        *,
        malicious: Sequence[int] | np.ndarray = (),
        detected: Callable[[str | None], Sequence[int]] | None = None,
    ) -> ForgetRequest:
        """Parse words such as `client:3`, `class:1`, `example:3:17`, `malicious`.

        Args:
            words: the words.
            malicious: ids that `malicious` stands for.
            detected: ids that a detector flagged, by its name or None for the only one; default
                none, which allows no such words.

        Raises:
            UserError: a word has another form, there are no words, or `malicious` is requested but
                no client is malicious.
        """
        found = {"clients": [], "classes": [], "examples": [], "names": []}
        for word in words:
            if word == "malicious":
                require(
                    "forget",
                    word,
                    len(malicious) > 0,
                    "a request by name (--client 3, --class 1, --examples 3:17), since no client "
                    "of this run is malicious (malicious is the default)",
                )
                found["clients"] += [int(k) for k in malicious]
                continue
            if detected is not None and (word == DETECTED or word.startswith(f"{DETECTED}:")):
                flagged = detected(word.partition(":")[2] or None)
                if not len(flagged):
                    raise UserError(
                        "detected: no client was flagged, so there is nothing to forget"
                    )
                found["clients"] += [int(k) for k in flagged]
                continue
            if word.startswith(_NAMES) and word.partition(":")[2]:
                found["names"].append(word)
                continue
            for field, pattern in _PATTERNS.items():
                match = pattern.fullmatch(word)
                if match:
                    numbers = tuple(int(number) for number in match.groups())
                    found[field].append(numbers if field == "examples" else numbers[0])
                    break
            else:
                raise UserError(f"forget: must be {FORMS}; got {word!r}")
        request = cls(*(tuple(found[field]) for field in found))
        require(
            "forget", list(words), bool(request.words()), "at least one client, class or example"
        )
        return request

    def words(self) -> list[str]:
        """Return the request as words that `parse` accepts."""
        return [
            *(f"client:{k}" for k in self.clients),
            *(f"class:{c}" for c in self.classes),
            *(f"example:{k}:{n}" for k, n in self.examples),
            *self.names,
        ]

    def resolve(
        self,
        *,
        clients: Sequence[str],
        classes: Sequence[str],
        ids: Sequence[str] | None,
        places: Sequence[tuple[int, int]],
        named: str,
        test_ids: Sequence[str] | None = None,
        id_column: str | None = None,
    ) -> tuple[ForgetRequest, list[str], list[str], list[str]]:
        """Return the request in numbers, and its identifiers: found, unknown and held out.

        Text is looked up as a name first, then read as a number.

        Args:
            clients: name of each client.
            classes: name of each class.
            ids: identifier of each example of the run; None if the data have none.
            places: client and index of each of these examples.
            named: name of the data, for messages.
            test_ids: identifier of each test example; default none.
            id_column: name of the column of identifiers; as an unknown identifier it is the header
                of a list. Default none.

        Returns:
            The request, the identifiers of examples, those that no example has, and those of test
            examples, which the model was not trained on.

        Raises:
            UserError: an unknown client or class, identifiers where the data have none, or none of
                the identifiers is known.
        """
        numbers = {kind: list(getattr(self, kind)) for kind in ("clients", "classes", "examples")}
        known: dict[str, list[int]] = {}
        asked = [word.partition(":")[2] for word in self.names if word.startswith("example-id:")]
        if asked and ids is None:
            raise UserError(
                f"examples: identifiers such as {asked[0][:40]!r} need data that have some; "
                f"{named} has none (of a table, name their column with --id-column); give "
                "client:index"
            )
        for row, name in enumerate(ids if asked and ids is not None else ()):
            known.setdefault(str(name), []).append(row)
        header = {"id", (id_column or "id").casefold()}
        asked = [name for name in asked if name in known or name.casefold() not in header]
        missing = [name for name in dict.fromkeys(asked) if name not in known]
        tests = set(test_ids if missing and test_ids is not None else ())
        held_out = [name for name in missing if name in tests]
        missing = [name for name in missing if name not in tests]
        if asked and not any(name in known for name in asked):
            more = f" ({len(held_out)} are held out for testing)" if held_out else ""
            raise UserError(
                f"examples: none of {len(asked)} identifiers is a training example of this run"
                f"{more}; got {quoted([*missing, *held_out])}"
            )
        for name in asked:
            numbers["examples"] += [places[row] for row in known.get(name, ())]
        for word in self.names:
            kind, _, name = word.partition(":")
            if kind == "class-name":
                table = {own: number for number, own in enumerate(classes)}
                numbers["classes"].append(class_number("class", name, table))
            elif kind == "client-name":
                numbers["clients"].append(_client_number(name, clients))
        found = [name for name in asked if name in known]
        return ForgetRequest(*(tuple(numbers[kind]) for kind in numbers)), found, missing, held_out

    @property
    def whole_clients(self) -> bool:
        """Whether the request names only clients: no classes and no single examples."""
        return not self.classes and not self.examples

    def rows(self, clients: ClientSet, classes: int) -> np.ndarray:
        """Return the mask of the forget set, bool `(N,)`.

        Args:
            clients: all examples of the run, without changes by an attack.
            classes: number of classes of the data.

        Raises:
            UserError: a client, class or example does not exist.
        """
        owners = clients.owners
        for client in (*self.clients, *(client for client, _ in self.examples)):
            require("client", client, client < len(clients), f"from 0 to {len(clients) - 1}")
        for label in self.classes:
            require("class", label, label < classes, f"from 0 to {classes - 1}")
        require("forget", list(self.names), not self.names, "resolved to numbers first")
        gone = np.isin(owners, self.clients) | np.isin(clients.labels, self.classes)
        for client, index in self.examples:
            size = int(clients.sizes[client])
            require(
                "examples",
                f"{client}:{index}",
                index < size,
                f"an index from 0 to {size - 1} for client {client}, which holds {size} examples",
            )
            gone[clients.offsets[client] + index] = True
        return gone


def quoted(names: Sequence[str]) -> str:
    """Return the first names, quoted, and how many follow."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(repr(name[:60]) for name in names[:NAMED]) + more


def _client_number(name: str, clients: Sequence[str]) -> int:
    """Return the number of a client that is given by its name or its number."""
    if name in clients:
        return list(clients).index(name)
    if re.fullmatch(r"\d{1,9}", name) and int(name) < len(clients):
        return int(name)
    plain = list(clients) == [str(number) for number in range(len(clients))]
    more = (
        "; the clients of this run have no names (partition writers or column:NAME keeps them)"
        if plain and not name.isdigit()
        else ""
    )
    raise UserError(
        f"client: must be from 0 to {len(clients) - 1}"
        f"{'' if plain else f', or a name such as {quoted(clients[:2])}'}; got {name}"
        f"{more if plain else nearest(name, clients)}"
    )


def read_examples(text: str) -> list[str]:
    """Return the request words of a list, a file or a folder of examples.

    A list is `client:index,client:index,...`. A text file has a pair or an identifier per line
    (`#` begins a comment after a pair); a CSV file of several columns has identifiers in its column
    `id`; a folder stands for the identifiers of the files below it, such as `cat/0017.png`.

    Raises:
        UserError: `text` is none of them, or names no example.
    """
    if re.fullmatch(r"\s*\d+\s*:\s*\d+\s*(,\s*\d+\s*:\s*\d+\s*)*,?\s*", text):
        return _pairs(text.split(","), "examples")
    if text and user_path(text).is_dir():
        return _of_folder(user_path(text))
    if text.lower().endswith(".csv"):
        words = _of_csv(text)
        if words is not None:
            return words
    try:
        lines = user_path(text).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise UserError(
            f"examples: must be client:index pairs, such as 3:17,3:18, or a file or folder of "
            f"pairs or identifiers; got {text!r} ({reason})"
        )
    words = []
    for line in lines:
        pair = _PAIR.fullmatch(line.partition("#")[0])
        if pair is not None:
            words.append(f"example:{pair[1]}:{pair[2]}")
        elif line.strip() and not line.lstrip().startswith("#"):
            words.append(f"example-id:{line.strip()}")
    require("examples", text, bool(words), "a file with at least one client:index or identifier")
    return words


def _of_folder(folder: pathlib.Path) -> list[str]:
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
    require("examples", str(folder), bool(names), "a folder with at least one file")
    return [f"example-id:{name}" for name in names]


def _of_csv(text: str) -> list[str] | None:
    """Return the words of a table with a column `id`, or one whose name ends so (`patient_id`).

    None for a file of one value per line, as a text file has.
    """
    try:
        with open(user_path(text), encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            mark = next((mark for mark in ",;\t" if mark in first), ",")
            file.seek(0)
            rows = [row for row in csv.reader(file, delimiter=mark) if any(map(str.strip, row))]
        head = [cell.strip() for cell in rows[0]] if rows else []
        lower = [cell.casefold() for cell in head]
        found = [
            column
            for column, cell in enumerate(lower)
            if cell == "id"
            or ("id" not in lower and len(head) > 1 and _ENDS_IN_ID.search(head[column]))
        ]
        if not found and all(len(row) == 1 for row in rows):
            return None  # lines of identifiers or pairs
        require("examples", text, len(found) == 1, f"a CSV file with a column id; it has {head}")
        names = [row[found[0]].strip() for row in rows[1:] if len(row) == len(head)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"examples: {text} cannot be read ({first_line(error)})")
    require("examples", text, any(names), "a CSV file with at least one identifier")
    return [f"example-id:{name}" for name in names if name]


def _pairs(texts: Iterable[str], where: str) -> list[str]:
    words = []
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        match = _PAIR.fullmatch(text)
        if match is None:
            raise UserError(
                f"examples: must be client:index; got {text.strip()[:40]!r} "
                f"(entry {number} of {where})"
            )
        words.append(f"example:{match[1]}:{match[2]}")
    require("examples", where, bool(words), "at least one client:index")
    return words

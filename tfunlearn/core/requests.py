"""Unlearning requests: clients, classes or single examples, in one form for all methods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tfunlearn.core.clients import ClientSet
from tfunlearn.core.errors import UserError, require
from tfunlearn.core.files import user_path

FORMS = "malicious, client:ID, class:LABEL, or example:CLIENT:INDEX"
_PATTERNS = {
    "clients": re.compile(r"client:(\d{1,9})"),
    "classes": re.compile(r"class:(\d{1,9})"),
    "examples": re.compile(r"example:(\d{1,9}):(\d{1,9})"),
}


@dataclass(frozen=True)
class ForgetRequest:
    """An unlearning request; its examples form the forget set, all others the retain set.

    Attributes:
        clients: ids of clients whose examples are all in the forget set.
        classes: labels whose examples are in the forget set at every client (original labels of
            the data, not labels changed by an attack).
        examples: pairs `(client, index)`; the index counts a client's examples from 0 in the
            order of the run's partition, regardless of earlier unlearning.
    """

    clients: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    examples: tuple[tuple[int, int], ...] = ()

    def __post_init__(self):
        for field in ("clients", "classes", "examples"):
            object.__setattr__(self, field, tuple(sorted(set(getattr(self, field)))))

    @classmethod
    def parse(
        cls, words: Iterable[str], *, malicious: Sequence[int] | np.ndarray = ()
    ) -> ForgetRequest:
        """Parse words such as `client:3`, `class:1`, `example:3:17`, `malicious`.

        Args:
            words: the words.
            malicious: ids that `malicious` stands for.

        Raises:
            UserError: a word has another form, there are no words, or `malicious` is requested but
                no client is malicious.
        """
        found = {"clients": [], "classes": [], "examples": []}
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
        ]

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


def read_examples(text: str) -> list[str]:
    """Return the request words of `client:index,client:index,...` or of a file, one pair per line.

    Raises:
        UserError: `text` is neither a list of pairs nor a readable file of pairs.
    """
    if re.fullmatch(r"\s*\d+\s*:\s*\d+\s*(,\s*\d+\s*:\s*\d+\s*)*,?\s*", text):
        return _pairs(text.split(","), "examples")
    try:
        lines = user_path(text).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise UserError(
            f"examples: must be client:index pairs, such as 3:17,3:18, or a file of them; "
            f"got {text!r} ({reason})"
        )
    return _pairs([line.partition("#")[0] for line in lines], text)


def _pairs(texts: Iterable[str], where: str) -> list[str]:
    words = []
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        match = re.fullmatch(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*", text)
        if match is None:
            raise UserError(
                f"examples: must be client:index; got {text.strip()[:40]!r} "
                f"(entry {number} of {where})"
            )
        words.append(f"example:{match[1]}:{match[2]}")
    require("examples", where, bool(words), "at least one client:index")
    return words

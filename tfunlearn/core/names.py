"""Names of classes and clients, for people; files and requests use numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """Names of a run's classes and clients; empty where they are just numbers.

    Attributes:
        classes: name of each class.
        clients: name of each client.
    """

    classes: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()

    def of_class(self, label: int) -> str:
        """Return the name of a class, its number if it has none."""
        return self.classes[label] if label < len(self.classes) else str(label)

    def of_client(self, client: int) -> str:
        """Return the number of a client, with its name if it has one."""
        if client >= len(self.clients) or self.clients[client] == str(client):
            return str(client)
        return f"{client} ({self.clients[client]})"

    def in_request(self, request: Sequence[str]) -> str:
        """Return the first five terms of a request, with names."""
        shown = ", ".join(map(self._term, request[:5]))
        return shown + (", ..." if len(request) > 5 else "")

    def _term(self, word: str) -> str:
        kind, _, number = word.partition(":")
        if not number.isdigit():
            return word
        names = {"class": self.classes, "client": self.clients}.get(kind, ())
        place = int(number)
        if place >= len(names) or names[place] == number:
            return word
        return f"{word} ({names[place]})"


def names_of(classes: Sequence[str] | None, clients: Sequence[str] | None) -> Names:
    """Return names, without those that are just the numbers from 0."""

    def real(names: Sequence[str] | None) -> tuple[str, ...]:
        found = tuple(names or ())
        return () if found == tuple(map(str, range(len(found)))) else found

    return Names(real(classes), real(clients))

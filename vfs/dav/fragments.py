"""Fragments: responses about entries that did not change since they were last listed."""

import threading
from collections.abc import Callable

from providers.base import Entry

MOST_BYTES = 14 * 1024 * 1024
"""What one generation may take, of two."""

COST_BYTES = 400
"""What an entry and its place in a table take beside the text."""


class Fragments:
    """Remembers the text that an entry gave in answer to one question.

    A key holds the whole entry, with its version: what is found under it can never be out of date.
    When the young generation is full, it becomes the old one, and what is not asked for again goes
    with that. `_lock` guards both and `_size`; each holds a table for each question.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._young: dict[int, dict[Entry, bytes]] = {}
        self._old: dict[int, dict[Entry, bytes]] = {}
        self._size = 0

    def texts(
        self,
        question: int,
        entries: list[Entry],
        make: Callable[[list[Entry]], list[bytes]],
    ) -> list[bytes]:
        """Return the text of each entry; `make` makes those that are not remembered."""
        found = list(map(self._young.get(question, {}).get, entries))
        if None not in found:
            return found  # type: ignore[return-value] # mypy does not see that none is None
        old = self._old.get(question, {})
        again: list[tuple[Entry, bytes]] = []
        missing: list[Entry] = []
        for place, entry in enumerate(entries):
            if found[place] is None:
                text = found[place] = old.get(entry)
                if text is None:
                    missing.append(entry)
                else:
                    again.append((entry, text))
        made = make(missing) if missing else []
        self._remember(question, [*again, *zip(missing, made, strict=True)])
        rest = iter(made)
        return [next(rest) if text is None else text for text in found]

    def _remember(self, question: int, texts: list[tuple[Entry, bytes]]) -> None:
        size = sum(len(text) for _, text in texts) + COST_BYTES * len(texts)
        with self._lock:
            if self._size + size > self._most:
                self._old, self._young, self._size = self._young, {}, 0
            self._young.setdefault(question, {}).update(texts)
            self._size += size

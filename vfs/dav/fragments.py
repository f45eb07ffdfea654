"""Fragments: responses about files that did not change since they were last listed."""

from collections.abc import Callable, Iterable

from providers.base import Entry

MOST = 12_000
"""Fragments of one generation; there are two, of about half a kilobyte each."""


class Fragments:
    """Remembers the text that an entry gave in answer to one question.

    A key holds the whole entry, with its version: what is found under it can never be out of date.
    When the young generation is full, it becomes the old one, and what is not asked for again goes
    with that. Both are replaced whole and changed in single steps, so no lock is needed: at worst
    something is made twice.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._young: dict[tuple[int, Entry], str] = {}
        self._old: dict[tuple[int, Entry], str] = {}

    def texts(
        self, question: int, entries: Iterable[Entry], make: Callable[[Entry], str]
    ) -> list[str]:
        """Return the text of each entry, made where it is not remembered."""
        found: list[str] = []
        young, old = self._young, self._old
        for entry in entries:
            key = question, entry
            text = young.get(key)
            if text is None:
                text = old.get(key) or make(entry)
                if len(young) >= self._most:
                    self._old, self._young = old, young = young, {}
                young[key] = text
            found.append(text)
        return found

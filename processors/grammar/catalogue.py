"""Catalogue: every template there is, by its name."""

import difflib
import threading
from collections.abc import Callable, Iterable, Mapping

from processors import registry
from processors.errors import UnknownName, UnsupportedFormat
from processors.grammar.compiling import Find, TemplateError, ready_template
from processors.grammar.template import Template


class Catalogue:
    """The templates of a configuration, and a ready one for each processor.

    A processor's ready template has the last part of its name: `window` for "tiff.window"; the
    whole name where two would share it. A configured one of the same name stands in its place.
    `_lock` guards `_made`, the ready ones made so far; all else is fixed.
    """

    def __init__(
        self,
        configured: Mapping[str, Template] | None = None,
        *,
        find: Find = registry.find,
        processors: Callable[[], Iterable[str]] = registry.names,
    ) -> None:
        self._configured = dict(configured or {})
        self._find = find
        self._ready = _ready_names(processors())
        self._lock = threading.Lock()
        self._made: dict[str, Template] = {}

    def names(self) -> tuple[str, ...]:
        """Return the name of every template, sorted, without importing anything."""
        return tuple(sorted({*self._configured, *self._ready}))

    def find(self, name: str) -> Template:
        """Return a template; UnknownName, or UnsupportedFormat when a package is missing for it."""
        found = self._configured.get(name) or self._made.get(name)
        if found is not None:
            return found
        if name not in self._ready:
            raise self._unknown(name)
        try:
            made = ready_template(name, self._find(self._ready[name]))
        except (registry.RegistryError, TemplateError) as error:
            raise UnsupportedFormat(str(error), asked=name) from error
        with self._lock:
            return self._made.setdefault(name, made)

    def is_ready(self, name: str) -> bool:
        """Tell whether the template needs no configuration, and so takes any source."""
        return name not in self._configured and name in self._ready

    def _unknown(self, name: str) -> UnknownName:
        near = difflib.get_close_matches(name, self.names(), n=1)
        return UnknownName(
            f"there is no template {name[:80]!r}",
            asked=name[:80],
            example=f"{near[0]}/.help.txt" if near else ".help.txt",
        )


def _ready_names(processors: Iterable[str]) -> dict[str, str]:
    """Return the processor behind each ready template."""
    short: dict[str, list[str]] = {}
    for name in processors:
        short.setdefault(name.rpartition(".")[2], []).append(name)
    return {
        name if len(whole) == 1 else processor: processor
        for name, whole in short.items()
        for processor in whole
    }

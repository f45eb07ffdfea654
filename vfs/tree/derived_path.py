"""DerivedPath: what a path below the processing mount means."""

import re
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

from processors.errors import BadValue, ProcessingError
from processors.grammar.catalogue import Catalogue
from processors.grammar.derivation import Step
from processors.grammar.parser import parse
from processors.grammar.template import Bound, Template
from providers.errors import NotFound
from vfs.tree import paths

Document: TypeAlias = Literal[".info.json", ".help.txt", ".cost.json", ".prov.json", ".sha256"]

OF_ALL: tuple[Document, ...] = (".info.json", ".help.txt")
"""Documents that stand in every folder, and beside every result."""
OF_RESULTS: tuple[Document, ...] = (*OF_ALL, ".cost.json", ".prov.json", ".sha256")
"""Documents of a result: its name, and behind it theirs."""

# File managers look for these everywhere; nothing is asked of any store for them.
_NOISE = re.compile(r"\._.*|\.DS_Store|Thumbs\.db|desktop\.ini", re.IGNORECASE)


class DerivedPath(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A level, a result, or a document of one of them. The mount itself has no template.

    What follows from its fields is found out once.
    """

    template: Template | None = None
    bound: Bound = Bound(values={}, place=0, is_complete=False)
    document: Document | None = None

    @property
    def is_result(self) -> bool:
        """Tell whether it names a derived file, or a document of one."""
        return self.bound.is_complete

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder."""
        return self.document is None and not self.is_result

    @cached_property
    def canonical(self) -> str:
        """The canonical path below the mount, without the document's name."""
        return "" if self.template is None else self.template.path(self.bound)

    @property
    def whole(self) -> Template:
        """The template; for what is not the mount itself."""
        assert self.template is not None
        return self.template

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The chain with the parameters of a result; BadValue."""
        return self.whole.steps(self.bound)

    @cached_property
    def source(self) -> str | None:
        """The path of its source in the tree, None as long as the path does not tell it."""
        if self.template is None or self.bound.inside is not None:
            return None
        path, rest = self.template.source_path(self.bound.values)
        return None if rest else path


def resolve(catalogue: Catalogue, path: str) -> DerivedPath:
    """Return what `path` means. Raises NotFound for noise, else what is wrong with it."""
    segments = tuple(path.split("/")) if path else ()
    if any(_NOISE.fullmatch(segment) for segment in segments):
        raise NotFound(path)
    if not segments:
        return DerivedPath()
    *before, last = segments
    if last in OF_ALL:
        above = _plain(catalogue, tuple(before))
        if not above.is_result:
            return msgspec.structs.replace(above, document=last)
    for name in OF_RESULTS:
        stem = last.removesuffix(name)
        if stem not in (last, ""):
            found = _result(catalogue, (*before, stem))
            if found is not None:
                return msgspec.structs.replace(found, document=name)
    return _plain(catalogue, segments)


def in_mount(source: str, mount: str) -> BadValue | None:
    """Return the error of a source that is itself a derived file."""
    if not paths.is_within(source, mount):
        return None
    return BadValue(
        "a derived file cannot be the source of another", asked=source, example=".help.txt"
    )


def _result(catalogue: Catalogue, segments: tuple[str, ...]) -> DerivedPath | None:
    try:
        found = _plain(catalogue, segments)
    except ProcessingError:
        return None
    return found if found.is_result else None


def _plain(catalogue: Catalogue, segments: tuple[str, ...]) -> DerivedPath:
    if not segments:
        return DerivedPath()
    template = catalogue.find(segments[0])
    return DerivedPath(template=template, bound=parse(template, segments[1:]))

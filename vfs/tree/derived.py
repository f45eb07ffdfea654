"""DerivedProvider: files that are made when they are read, as a provider in the tree.

It knows no callers and checks no right: `touches` says what a request is about, and the tree asks.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

from processors.base import Limits
from processors.errors import ProcessingError, SourceChanged
from processors.grammar.catalogue import Catalogue
from processors.making.maker import Maker
from providers import waiting
from providers.base import Capabilities, Entry, Kind, Options, Reader
from providers.errors import Changed, IsADirectory, NotADirectory, StorageError
from vfs.tree import derived_documents as documents
from vfs.tree import paths
from vfs.tree.computed import ComputedProvider, Sees, Touch
from vfs.tree.derived_folders import DerivedFolders
from vfs.tree.derived_levels import Levels
from vfs.tree.derived_path import DerivedPath, in_mount, resolve
from vfs.tree.derived_reader import TextReader
from vfs.tree.derived_results import DerivedResults
from vfs.tree.steps import Steps
from vfs.tree.unmade import Unmade

_RESOLVED_MAX = 4_096


class DerivedProvider(ComputedProvider):
    """Serves the templates of a catalogue at `mount`, from sources that `steps` lead to.

    `prompt` says that its results lie on a disk of this machine. The maker is the caller's to
    close. All attributes are fixed but `_resolved`, which remembers what paths mean: each entry is
    set in one atomic step and may be lost at any time.
    """

    name = "derived"
    options = Options
    capabilities = Capabilities(descriptors=True, checksums=frozenset({"sha256"}))

    def __init__(
        self,
        catalogue: Catalogue,
        maker: Maker,
        steps: Steps,
        *,
        mount: str,
        limits: Limits,
        prompt: bool = False,
    ) -> None:
        self._catalogue = catalogue
        self._maker = maker
        self._steps = steps
        self._mount = mount
        self._limits = limits
        self.prompt = prompt
        self._resolved: dict[str, DerivedPath] = {}
        levels = Levels(steps, mount)
        self._results = DerivedResults(maker, steps, levels, mount=mount, limits=limits)
        self._folders = DerivedFolders(catalogue, steps, levels, self._results)

    def _resolve(self, path: str) -> DerivedPath:
        found = self._resolved.get(path)
        if found is None:
            found = resolve(self._catalogue, path)
            if len(self._resolved) >= _RESOLVED_MAX:
                self._resolved.clear()
            self._resolved[path] = found
        return found

    def touches(self, path: str) -> tuple[Touch, ...]:
        """Return the source, or as far as the path leads to one."""
        hit = self._results.hits.find(path)
        if hit is not None:
            return hit.touches
        with self._refusing(path):
            found = self._resolve(path)
            if found.template is None:
                return ()
            source = found.source
            if source is not None:
                wrong = in_mount(source, self._mount)
                if wrong is not None:
                    raise wrong
                return (Touch(source, is_read=True),)
            if found.bound.inside is not None:
                return (Touch("/" + "/".join(found.bound.inside), is_read=False),)
            return (Touch(found.template.source_path(found.bound.values)[0], is_read=False),)

    def prompt_source(self, path: str) -> str | None:
        """Return the source of a result that was found before."""
        hit = self._results.hits.find(path)
        return hit.origin.path if hit is not None and self.prompt else None

    def stat(self, path: str) -> Entry:
        """Return the entry, for nobody in particular."""
        return self.stat_for(path, "")

    def stat_for(self, path: str, who: str) -> Entry:
        """Return the entry; what has no size before it is made, is made."""
        with self._refusing(path):
            found = self._resolve(path)
            if found.is_folder:
                return self._folders.entry(found, _name(path), who)
        with self.open_for(path, who) as reader:
            return reader.entry

    def known(self, path: str) -> Entry:
        """Return the entry, of a file without its size."""
        with self._refusing(path):
            found = self._resolve(path)
            if found.is_folder:
                return self._folders.entry(found, _name(path), "")
            return Entry(_name(path), Kind.FILE, 0, self._folders.began_ns, "")

    def scandir(self, path: str) -> Iterator[Entry]:
        """Yield all members."""
        return self.members_for(path, lambda _: True)

    def members_for(self, path: str, sees: Sees) -> Iterator[Entry]:
        """Yield templates, values that exist, and at the end results that are there."""
        waiting.begin()
        with self._refusing(path):
            found = self._resolve(path)
            if not found.is_folder:
                raise NotADirectory(path)
            above = self._folders.entry(found, _name(path), "")
            members = self._folders.members(found, above, sees)
            first = next(members, None)
        return iter(()) if first is None else chain((first,), members)

    def open(self, path: str) -> Reader:
        """Return a reader, for nobody in particular."""
        return self.open_for(path, "")

    def open_for(self, path: str, who: str) -> Reader:
        """Return a reader of a result, which may not be made yet, or of a document."""
        made = self._results.hits.open(path)
        if made is not None:
            return made
        waiting.begin()
        name = _name(path)
        with self._refusing(path):
            found = self._resolve(path)
            if found.is_folder:
                self._folders.entry(found, name, who)
                raise IsADirectory(path)
            if found.document is None:
                return self._results.open(found, path, who, partial(self._refusing, path))
            text, mtime_ns = self._document(found, name, who)
        version = hashlib.blake2b(text, digest_size=16).hexdigest()
        return TextReader(Entry(name, Kind.FILE, len(text), mtime_ns, version), text)

    def check(self, path: str) -> None:
        """Plan a result, or find a folder; documents are there if what they tell of is."""
        with self._refusing(path):
            found = self._resolve(path)
            if found.is_folder:
                self._folders.entry(found, _name(path), "")
            elif found.is_result:
                self._results.plan(found, "")

    def examples(self, error: StorageError) -> tuple[str, ...]:
        """Return the error's own example, then the help of the template, then that of all."""
        if not isinstance(error, Unmade) or not error.example:
            return ()
        name = error.example.removeprefix(f"{self._mount}/").partition("/")[0]
        helps = (f"{self._mount}/{name}/.help.txt", f"{self._mount}/.help.txt")
        return (error.example, *helps)

    def renew(self, path: str, who: str, *, remake: bool) -> None:
        """Ask the store of the source anew; with `remake`, also make the result once more."""
        waiting.begin()
        with self._refusing(path):
            found = self._resolve(path)
            source = found.source
            if source is not None:
                self._steps.refresh(source)
            if remake and found.is_result and found.document is None:
                self._results.remake(found, who)

    def purge(self, path: str) -> None:
        """Forget a result, or all of a template below a level."""
        waiting.begin()
        with self._refusing(path):
            found = self._resolve(path)
            if found.is_result:
                self._results.purge(found)
            elif found.template is not None:
                self._maker.purge_under(found.template.name, found.canonical)
            else:
                for name in self._catalogue.names():
                    self._maker.purge_under(name, name)

    def checksum(self, path: str, algorithm: str, *, expect: str | None = None) -> bytes:
        """Return the digest that every result has."""
        waiting.begin()
        with self._refusing(path):
            found = self._resolve(path)
            if algorithm != "sha256" or not found.is_result or found.document is not None:
                return super().checksum(path, algorithm)
            derivation, result = self._results.made(found, "")
            if expect is not None and derivation.key != expect:
                raise Changed(path)
            return bytes.fromhex(result.sha256)

    def health(self) -> None:
        """Serve always: what can be made depends on the sources alone."""

    def close(self) -> None:
        """Give nothing back: the maker is somebody else's."""

    def _document(self, found: DerivedPath, name: str, who: str) -> tuple[bytes, int]:
        if found.document == ".help.txt":
            if found.template is None:
                text = documents.help_of_mount(self._mount)
            else:
                text = documents.help_of(self._mount, found.template)
            return text, self._folders.began_ns
        if found.document != ".info.json":
            return self._results.document(found, name, who)
        if found.template is not None:
            return self._results.info(found, who)
        info = documents.info_of_mount(self._mount, self._limits)
        return documents.dumped(info), self._folders.began_ns

    @contextmanager
    def _refusing(self, path: str) -> Iterator[None]:
        """Turn errors of processing into errors of the tree."""
        try:
            yield
        except SourceChanged as error:
            raise Changed(path, detail=str(error)) from error
        except ProcessingError as error:
            raise Unmade(path, error, mount=self._mount) from error


def _name(path: str) -> str:
    return paths.basename(f"/{path}")

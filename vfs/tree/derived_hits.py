"""DerivedHits: results that were found to be there, by the path that was asked for.

What a path means, and which result it has for a version of its source, need not be found out again:
the source is looked at each time, and whether the result is still there.
"""

import msgspec

from cache.result_file import ResultRecord
from processors.grammar.derivation import Derivation
from processors.making.maker import Maker
from providers import waiting
from providers.base import Entry
from providers.errors import StorageError
from vfs.tree.computed import Touch
from vfs.tree.derived_reader import MadeReader, Remarks
from vfs.tree.derived_source import Origin
from vfs.tree.steps import Steps

_KNOWN_MAX = 1_024


class Hit(msgspec.Struct, frozen=True):
    """A result that is there for one version of its source, and what is told of it."""

    derivation: Derivation
    origin: Origin
    record: ResultRecord
    entry: Entry
    remarks: Remarks
    touches: tuple[Touch, ...]


class DerivedHits:
    """Opens results that were found before. Right for one set of templates and of mounts.

    `_maker` and `_steps` are fixed. Each entry of `_known` is set in one atomic step, and may be
    lost at any time.
    """

    def __init__(self, maker: Maker, steps: Steps) -> None:
        self._maker = maker
        self._steps = steps
        self._known: dict[str, Hit] = {}

    def find(self, path: str) -> Hit | None:
        """Return what is known at `path`; it may be there no longer."""
        return self._known.get(path)

    def put(self, path: str, hit: Hit) -> None:
        """Remember what was found at `path`. Of a folder the version is not told by its entry."""
        if hit.origin.is_folder:
            return
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[path] = hit

    def open(self, path: str) -> MadeReader | None:
        """Open what is known at `path` if the source is as it was; None is no answer.

        In a thread that must not wait, only what is open already.
        """
        hit = self._known.get(path)
        if hit is None:
            return None
        origin = hit.origin
        try:
            source = self._steps.stat(origin.path)
        except StorageError:
            return None
        if (source.version, source.mtime_ns, source.size, source.is_folder) != (
            origin.version,
            origin.mtime_ns,
            origin.size,
            False,
        ):
            return None
        file = self._maker.find(hit.derivation, now=waiting.is_refused())
        if file is None:
            return None
        if file.record is not hit.record:
            file.close()
            return None
        return MadeReader(hit.entry, hit.remarks, file, self._maker.variants)

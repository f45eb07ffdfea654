"""PageIndex: where each page of a file is, found once and remembered."""

import struct
from typing import NamedTuple

import msgspec
import numpy as np

from processors.base import Context
from processors.errors import Malformed, ProcessingError, TooLarge
from processors.tiff.geometry import Fault, Geometry, geometry, shape, table
from processors.tiff.ifd import INTEGERS, TYPES, Head, Ifd, Order, head, read_ifd
from processors.tiff.kept import Kept
from processors.tiff.mould import Mould
from processors.tiff.peek import CUT, Peek

_KIND = "tiff.index/1"
_SUB_IFDS = 330
_MOST_LEVELS = 64
_MOST_FORMS = 65_536
_MOST_FORM_BYTES = 64 << 20
_BATCH = 4_096
_KEPT_BYTES = 16 << 20
# What a page takes among the layers, and a form as an object, for a byte that it takes on disk.
_LAYER_BYTES, _FORM_GROWTH = 40, 10
_ROW = struct.Struct("<QQQQIIII")


class Row(NamedTuple):
    """One page: where its directory, its tables and its list of SubIFDs are, and its form."""

    ifd: int
    offsets: int
    counts: int
    subs: int
    sub_count: int
    sub_bytes: int
    form: int
    unused: int = 0


class Page(NamedTuple):
    """A page that can be read."""

    row: Row
    form: Geometry


class _Saved(msgspec.Struct, array_like=True):
    """What is remembered of a file, but for the rows."""

    order: Order
    is_big: bool
    next: int
    forms: list[Geometry | Fault]
    subs: dict[int, bytes]
    end: Fault | None = None


class _Known(NamedTuple):
    """What is known of the pages of a file. Who changes a part of it takes a copy."""

    head: Head
    next: int
    forms: list[Geometry | Fault]
    numbers: dict[object, int]
    rows: bytes | bytearray
    layers: list[int]
    subs: dict[int, bytes]
    end: Fault | None


# By the gateway's own name of a source and its version.
_KEPT: Kept[tuple[str, str], _Known] = Kept(_KEPT_BYTES)


class PageIndex:
    """Knows the pages of a file, as far as they were asked for.

    Layers are the pages of full resolution in the main chain. Reduced pages that follow one, and
    its SubIFDs, are its levels. Pages of equal form share one Geometry. For one thread.
    """

    def __init__(self, peek: Peek, context: Context, *, is_remembered: bool = True) -> None:
        self._peek = peek
        self._context = context
        self._limits = context.limits
        self._rows: bytes | bytearray = bytearray()
        self._forms: list[Geometry | Fault] = []
        self._known: dict[object, int] = {}
        self._layers: list[int] = []
        self._subs: dict[int, bytes] = {}
        self._mould: Mould | None = None
        self._last: tuple[Ifd, int] | None = None
        self._form_bytes = 0
        # Why the chain cannot be followed any further, in this version of the file.
        self._end: Fault | None = None
        self._saved_pages = 0
        self._is_lent = False
        self._ifds: set[int] | None = None
        self._is_remembered = is_remembered
        identity = getattr(peek.source, "identity", "") if is_remembered else ""
        self._key = (identity, peek.source.version) if identity else None
        if not (is_remembered and self._load()):
            self.head = head(peek)
            self._next = self.head.first

    def page(self, layer: int) -> Page | None:
        """Return the page of a layer, or None when there are fewer layers."""
        while len(self._layers) <= layer and self._next:
            self._extend(layer - len(self._layers) + 1)
        return self._page(self._row(self._layers[layer])) if layer < len(self._layers) else None

    @property
    def layers(self) -> int:
        """How many layers there are; the whole chain is walked for it."""
        while self._next:
            self._extend(_BATCH)
        return len(self._layers)

    @property
    def is_whole(self) -> bool:
        """Whether the whole chain is known."""
        return not self._next

    @property
    def is_uniform(self) -> bool:
        """Whether all pages known so far that are layers are of one form."""
        return len({self._row(number).form for number in self._layers}) <= 1

    def levels(self, layer: int) -> list[Page]:
        """Return a layer's page and its smaller ones, from the largest to the smallest."""
        full = self.page(layer)
        if full is None:
            raise IndexError(layer)
        while len(self._layers) <= layer + 1 and self._next:
            self._extend(1)
        first = self._layers[layer]
        last = self._layers[layer + 1] if layer + 1 < len(self._layers) else self._pages
        found = [self._row(number) for number in range(first + 1, min(last, first + _MOST_LEVELS))]
        if full.row.sub_count:
            packed = self._subs.get(layer)
            if packed is None:
                self._own()
                packed = self._read_subs(full.row)
                self._subs[layer] = packed
                if len(self._subs) <= _MOST_LEVELS:
                    self._save()
            found += [Row._make(row) for row in _ROW.iter_unpack(packed)]
        smaller = []
        for row in found:
            form = self._forms[row.form]
            if isinstance(form, Geometry) and _is_level(form, full.form):
                smaller.append(Page(row, form))
        smaller.sort(key=lambda page: -page.form.width)
        return [full, *smaller]

    @property
    def _pages(self) -> int:
        return len(self._rows) // _ROW.size

    def _row(self, number: int) -> Row:
        return Row._make(_ROW.unpack_from(self._rows, number * _ROW.size))

    def _page(self, row: Row) -> Page:
        form = self._forms[row.form]
        if isinstance(form, Fault):
            raise form.raised()
        return Page(row, form)

    def _extend(self, wanted: int) -> None:
        """Walk on for so many pages; further when it costs little."""
        if self._end is not None:
            raise self._end.raised()
        if self._pages >= self._limits.pages:
            raise TooLarge("it has too many pages", limit=f"{self._limits.pages} pages")
        self._own()
        known = self._pages
        until = known + wanted
        if self._ifds is None:
            pages = np.frombuffer(bytes(self._rows), np.uint64).reshape(-1, _ROW.size // 8)
            self._ifds = set(pages[:, 0].tolist())
        is_over = False
        try:
            while self._next and self._pages < until:
                self._step(until)
        except ProcessingError as error:
            # Whoever asks again must not walk again to be refused.
            is_over = True
            if isinstance(error, Malformed) and error.detail != CUT:
                self._end = Fault("Malformed", error.detail)
            raise
        finally:
            is_more = self._pages > self._saved_pages or self._end is not None
            is_due = is_over or not self._next or self._pages >= self._saved_pages * 3 // 2
            if is_more and is_due:
                self._save()

    def _step(self, until: int) -> None:
        """Take the next page of the chain."""
        offset, ifds = self._next, self._ifds
        assert ifds is not None
        if offset in ifds:
            raise Malformed("its pages form a loop")
        if self._pages >= self._limits.pages:
            raise TooLarge("it has too many pages", limit=f"{self._limits.pages} pages")
        if self._pages % 256 == 0:
            self._context.check()
        if self._peek.is_far:
            self._look_ahead(offset, until)
        row, after = self._read(offset)
        ifds.add(offset)
        form = self._forms[row.form]
        is_part = isinstance(form, Geometry) and (form.is_reduced or form.is_mask)
        if not (is_part and self._layers):
            self._layers.append(self._pages)
        self._rows += _ROW.pack(*row)
        self._next = after

    def _read(self, offset: int) -> tuple[Row, int]:
        """Return the row of the page at `offset`, and where the next page is."""
        if self._last is not None:
            self._mould = Mould(self._peek, self.head, *self._last)
            self._last = None
        if self._mould is not None:
            places = self._mould.places(self._peek, offset)
            if places is not None:
                row = Row(offset, places.offsets, places.counts, 0, 0, 0, self._mould.form)
                return row, places.next
        ifd = read_ifd(self._peek, self.head, offset, self._limits)
        row = self._made(offset, ifd)
        is_sound = isinstance(self._forms[row.form], Geometry) and not row.subs
        self._mould, self._last = None, (ifd, row.form) if is_sound else None
        return row, ifd.next

    def _look_ahead(self, offset: int, until: int) -> None:
        """Fetch many pages at once where they lie at equal distances.

        Only a guess of where they are: the chain itself is followed, page by page.
        """
        if self._peek.has_ahead(offset) or self._pages < 3:  # noqa: PLR2004 - two equal distances
            return
        last, before = self._row(self._pages - 1).ifd, self._row(self._pages - 2).ifd
        step = offset - last
        if step != last - before or abs(step) < self._peek.least:
            return
        count = min(until - self._pages, self._pages, _BATCH)
        if count > 1:
            spans = [(offset + i * step, offset + i * step - 512, 1536) for i in range(count)]
            self._peek.ahead(spans)

    def _made(self, offset: int, ifd: Ifd) -> Row:
        """Return the row of a page, and remember its form."""
        offsets, counts = table(ifd)
        subs = ifd.tags.get(_SUB_IFDS)
        if subs is not None and (subs.kind not in INTEGERS or subs.size > self._limits.tag_bytes):
            subs = None
        where = (subs.at, subs.number, TYPES[subs.kind][0]) if subs else (0, 0, 0)
        return Row(offset, offsets, counts, *where, self._form(ifd))

    def _form(self, ifd: Ifd) -> int:
        """Return the number of the form that the tags of a page give."""
        try:
            tags = shape(self._peek, ifd, self._limits)
        except ProcessingError as e:
            return self._numbered(Fault(type(e).__name__, e.detail))
        key = tuple(tags.items())
        number = self._known.get(key)
        if number is None:
            self._form_bytes += sum(map(len, tags.values()))
            if self._form_bytes > _MOST_FORM_BYTES:
                raise TooLarge("its pages are of too many forms", limit=f"{_MOST_FORM_BYTES} bytes")
            form: Geometry | Fault
            try:
                form = geometry(self.head, ifd, tags)
            except ProcessingError as e:
                form = Fault(type(e).__name__, e.detail)
            number = self._known[key] = self._numbered(form)
        return number

    def _numbered(self, form: Geometry | Fault) -> int:
        number = self._known.get(form)
        if number is None:
            if len(self._forms) >= _MOST_FORMS:
                raise TooLarge("its pages are of too many forms", limit=f"{_MOST_FORMS} forms")
            number = self._known[form] = len(self._forms)
            self._forms.append(form)
        return number

    def _read_subs(self, row: Row) -> bytes:
        """Return the rows of a page's SubIFDs, and of those that follow them."""
        count = min(row.sub_count, _MOST_LEVELS)
        raw = self._peek.take(row.subs, count * row.sub_bytes)
        waiting = [
            int(offset) for offset in np.frombuffer(raw, f"{self.head.order}u{row.sub_bytes}")
        ]
        if self._peek.is_far and len(waiting) > 1:
            self._peek.ahead([(offset, offset - 512, self._peek.least) for offset in waiting])
        seen: set[int] = {row.ifd}
        packed = bytearray()
        while waiting and len(seen) <= _MOST_LEVELS:
            offset = waiting.pop(0)
            if offset in seen or not offset:
                continue
            seen.add(offset)
            ifd = read_ifd(self._peek, self.head, offset, self._limits)
            packed += _ROW.pack(*self._made(offset, ifd))
            waiting.append(ifd.next)
        return bytes(packed)

    def _load(self) -> bool:
        """Take up what this process, or else the memo, remembers of the file."""
        known = _KEPT.get(self._key) if self._key else None
        if known is None:
            known = self._read_memo()
            if known is None:
                return False
            self._take(known)
            self._keep()
        else:
            self._take(known)
        self._saved_pages = self._pages
        return True

    def _read_memo(self) -> _Known | None:
        value = self._context.memo.get(_KIND, self._peek.source)
        if value is None:
            return None
        try:
            size = int.from_bytes(value[:8], "little")
            saved = msgspec.msgpack.decode(value[8 : 8 + size], type=_Saved)
            rows = bytes(value[8 + size :])
            if len(rows) % _ROW.size:
                return None
            forms = np.frombuffer(rows, np.uint32).reshape(-1, _ROW.size // 4)[:, 10]
            if len(forms) and int(forms.max()) >= len(saved.forms):
                return None
        except (ValueError, msgspec.MsgspecError):
            return None
        numbers: dict[object, int] = {form: number for number, form in enumerate(saved.forms)}
        part = [isinstance(f, Geometry) and (f.is_reduced or f.is_mask) for f in saved.forms]
        full = ~np.array(part, bool)[forms]
        full[:1] = True
        layers = np.flatnonzero(full).tolist()
        start = Head(saved.order, saved.is_big, 0)
        return _Known(
            *(start, saved.next, saved.forms, numbers, rows, layers),
            *(saved.subs, saved.end),
        )

    def _save(self) -> None:
        self._saved_pages = self._pages
        known = _KEPT.get(self._key) if self._key else None
        if not self._is_remembered or (known and len(known.rows) > len(self._rows)):
            return  # somebody else walked further meanwhile
        saved = _Saved(
            *(self.head.order, self.head.is_big, self._next),
            *(self._forms, self._subs, self._end),
        )
        packed = msgspec.msgpack.encode(saved)
        value = len(packed).to_bytes(8, "little") + packed + bytes(self._rows)
        self._context.memo.put(_KIND, self._peek.source, value)
        self._keep()

    def _keep(self) -> None:
        """Let other requests of this process have what is known; it is copied before a change."""
        if not self._key:
            return
        size = len(self._rows) + _LAYER_BYTES * len(self._layers)
        if not _KEPT.has_room(size):
            _KEPT.drop(self._key)  # what was kept while it was shorter
            return
        forms = len(msgspec.msgpack.encode((self._forms, self._subs)))
        known = _Known(
            *(self.head, self._next, self._forms, self._known),
            *(self._rows, self._layers, self._subs, self._end),
        )
        _KEPT.put(self._key, known, size + _FORM_GROWTH * forms)
        self._is_lent = True

    def _take(self, known: _Known) -> None:
        self.head, self._next, self._forms, self._known = known[:4]
        self._rows, self._layers, self._subs, self._end = known[4:]
        self._is_lent = True

    def _own(self) -> None:
        """Take copies of what others see too, before it is changed."""
        if self._is_lent:
            self._forms, self._known = self._forms.copy(), self._known.copy()
            self._layers, self._subs = self._layers.copy(), self._subs.copy()
            self._rows = bytearray(self._rows)
            self._is_lent = False


def _is_level(form: Geometry, full: Geometry) -> bool:
    """Tell whether a page is the full one in smaller."""
    same = (form.samples, form.dtype, form.bits) == (full.samples, full.dtype, full.bits)
    return same and not form.is_mask and form.width < full.width and form.height <= full.height

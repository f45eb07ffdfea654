"""SparseBytes: the bytes of one file version in memory, where holes cost nothing."""

CHUNK_BYTES = 256 * 1024


class SparseBytes:
    """Holds a file as a map of chunks; what is missing, or short at a chunk's end, reads as zeros.

    A `bytes` chunk is shared and never changes. A `bytearray` chunk belongs to the one writer that
    made it. `freeze` leaves only the former, and from then on any thread may read without a lock.
    A copy of a frozen `origin` shares its chunks until it writes to them.
    """

    def __init__(self, origin: "SparseBytes | None" = None) -> None:
        self.size: int = origin.size if origin else 0
        # How many bytes are in memory, with those shared with `origin` counted as one's own.
        self.held: int = origin.held if origin else 0
        self.chunks: dict[int, bytes | bytearray] = dict(origin.chunks) if origin else {}

    def freeze(self) -> None:
        """End the writing."""
        for number, chunk in self.chunks.items():
            if isinstance(chunk, bytearray):
                self.chunks[number] = bytes(chunk)

    def get(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer at the end."""
        parts = []
        end = min(offset + size, self.size)
        while offset < end:
            number, start = divmod(offset, CHUNK_BYTES)
            stop = min(start + end - offset, CHUNK_BYTES)
            part = self.chunks.get(number, b"")[start:stop]
            parts.append(part)
            parts.append(bytes(stop - start - len(part)))
            offset += stop - start
        return b"".join(parts)

    def put(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Copy `data` to `offset`; a gap becomes a hole."""
        rest = memoryview(data).cast("B")
        while rest:
            number, start = divmod(offset, CHUNK_BYTES)
            piece = rest[: CHUNK_BYTES - start]
            chunk = self._own(number)
            before = len(chunk)
            chunk.extend(bytes(max(0, start - before)))
            chunk[start : start + len(piece)] = piece
            self.held += len(chunk) - before
            offset += len(piece)
            rest = rest[len(piece) :]
            self.size = max(self.size, offset)

    def truncate(self, size: int) -> None:
        """Cut the end off, or add a hole."""
        if size < self.size:
            last, stop = divmod(size, CHUNK_BYTES)
            for number in [number for number in self.chunks if number > last]:
                self.held -= len(self.chunks.pop(number))
            if last in self.chunks:
                chunk = self._own(last)
                self.held -= len(chunk[stop:])
                del chunk[stop:]
        self.size = size

    def _own(self, number: int) -> bytearray:
        chunk = self.chunks.get(number, b"")
        if not isinstance(chunk, bytearray):
            chunk = self.chunks[number] = bytearray(chunk)
        return chunk

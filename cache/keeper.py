"""Keeper: stores what was fetched, at once or behind the reader."""

from functools import partial

from cache.block_file import BlockFile
from cache.single import Flight
from cache.tools import Tools

# A larger file is written past the kernel's cache while it is streamed.
_STRAIGHT_BYTES = 4 << 20


class Keeper:
    """Writes the blocks of flights and publishes them. All attributes are fixed."""

    def __init__(self, tools: Tools, mount: str) -> None:
        self._tools = tools
        self._mount = mount

    def keep(
        self,
        file: BlockFile,
        flight: Flight,
        at: int,
        blocks: memoryview,
        *,
        straight: bool = False,
    ) -> bool:
        """Write whole blocks that begin `at`, and publish them; False if the disk refuses."""
        try:
            file.store(at // file.block_bytes, blocks, straight=straight)
        except OSError as error:
            self._tools.budget.refuse(error)
            return False
        self._tools.budget.wrote(len(blocks))
        flight.publish((at + len(blocks) - 1) // file.block_bytes + 1)
        return True

    def send(self, file: BlockFile, flight: Flight, at: int, blocks: memoryview) -> bool:
        """Have blocks written by another thread, and held until then; False without room."""

        def write() -> None:
            is_large = file.size > _STRAIGHT_BYTES
            if not self.keep(file, flight, at, blocks, straight=is_large):
                self._tools.counters.add(self._mount, "passed_bytes", len(blocks))

        flight.hold(at, blocks)
        return self._tools.behind.take(len(blocks), write)

    def land(self, file: BlockFile, flight: Flight, error: Exception | None) -> None:
        """End the flight when all that was sent before is written, and give the file back."""
        self._tools.behind.then(partial(self._landed, file, flight, error))

    def _landed(self, file: BlockFile, flight: Flight, error: Exception | None) -> None:
        try:
            file.flights.land(flight, error)
        finally:
            self._tools.source.release(file)

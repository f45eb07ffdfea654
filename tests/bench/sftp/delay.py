"""A TCP proxy that delays each direction: `python delay.py TARGET_PORT ONE_WAY_MS` prints its port.

No limit on bandwidth, no loss. Bytes wait in memory, at most 64 MiB a direction.
"""

import asyncio
import sys
from collections import deque

PIECE_BYTES = 256 << 10
WAITING_BYTES = 64 << 20


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Pass bytes on, each piece `seconds` after it came."""
    clock = asyncio.get_running_loop().time
    pieces: deque[tuple[float, bytes]] = deque()
    came, went = asyncio.Event(), asyncio.Event()
    waiting = 0

    async def gather() -> None:
        nonlocal waiting
        while data := await reader.read(PIECE_BYTES):
            pieces.append((clock() + seconds, data))
            waiting += len(data)
            came.set()
            while waiting > WAITING_BYTES:
                went.clear()
                await went.wait()
        pieces.append((clock() + seconds, b""))
        came.set()

    gathering = asyncio.create_task(gather())
    try:
        while True:
            while not pieces:
                came.clear()
                await came.wait()
            due, data = pieces.popleft()
            await asyncio.sleep(max(0, due - clock()))
            if not data:
                return
            writer.write(data)
            await writer.drain()
            waiting -= len(data)
            went.set()
    except OSError:
        return
    finally:
        gathering.cancel()
        writer.close()


async def serve(target: int, seconds: float) -> None:
    """Serve until the process is ended."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target, limit=4 * PIECE_BYTES)
        await asyncio.gather(carry(reader, back, seconds), carry(there, writer, seconds))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, limit=4 * PIECE_BYTES)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))

"""What is asked, and what one thread waits for."""

from collections import deque
from queue import SimpleQueue

from providers.ssh import wire

Reply = tuple[object, int, bytes, int]
"""The tag of the request, the kind, the body, and how many bytes of DATA lie in its view."""


class Request:
    """One request. Fixed, but for `parts`, which go once they are sent.

    A DATA reply is received straight into `view`. The reply to one that is not `told` is dropped.
    """

    __slots__ = ("kind", "parts", "tag", "told", "view")

    def __init__(
        self,
        kind: int,
        *parts: wire.Bytes,
        tag: object = None,
        view: memoryview | None = None,
        told: bool = True,
    ) -> None:
        self.kind = kind
        self.parts: tuple[wire.Bytes, ...] = parts
        self.told = told
        self.tag = tag
        self.view = view


class Exchange:
    """What one thread has asked and not taken yet.

    `asked`, `low` and `since` are written by the thread that asks, `answered`, `replies` and
    `progress` by the thread that leads; `sleeping` under the dialogue's lock.
    """

    __slots__ = (
        "answered",
        "asked",
        "low",
        "patience",
        "progress",
        "replies",
        "since",
        "sleeping",
        "turn",
    )

    def __init__(self, patience: float) -> None:
        self.asked = 0
        self.answered = 0
        self.low = 0
        self.patience = patience
        self.since = 0.0
        self.progress = 0.0
        self.sleeping = False
        self.replies: deque[Reply] = deque()
        self.turn: SimpleQueue[None] = SimpleQueue()

    @property
    def outstanding(self) -> int:
        """The number of requests without a reply."""
        return self.asked - self.answered

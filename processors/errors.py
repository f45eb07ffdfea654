"""What can go wrong when a derived file is asked for or made: ProcessingError and its leaves.

Each says what was asked, what the limit is and gives one corrected example, so that a client can
go on without reading documentation. The table from leaf to HTTP status stands in `vfs/errors.py`.
"""

from typing import ClassVar, Self

__all__ = [
    "BadValue",
    "Busy",
    "Cancelled",
    "Crashed",
    "Malformed",
    "NoResultSpace",
    "OutOfRange",
    "OverTime",
    "Poisoned",
    "ProcessingError",
    "SourceChanged",
    "TooLarge",
    "UnknownName",
    "UnsupportedFormat",
    "leaves",
]


class ProcessingError(Exception):
    """Tells what was asked for and why it is refused.

    `detail` is the cause in words, `asked` what the request said, `limit` what is allowed, and
    `example` one corrected path, relative to the processing mount; a processor, which knows no
    paths, gives the parameters to change ("grid=0-64-0-64"). All of them may reach a client, so
    they never hold a secret or a path of the machine.
    """

    text: ClassVar[str] = "the file cannot be made"

    def __init__(
        self, detail: str = "", *, asked: str = "", limit: str = "", example: str = ""
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.asked = asked
        self.limit = limit
        self.example = example

    def copied(self, **changes: str) -> Self:
        """Return the same error as a new one, with some attributes changed."""
        error = type(self)(self.detail)
        error.__dict__.update(self.__dict__, **changes)
        return error

    def __str__(self) -> str:
        return f"{self.text}: {self.detail}" if self.detail else self.text

    def __reduce__(self) -> tuple[type[Self], tuple[str], dict[str, object]]:
        return type(self), (self.detail,), self.__dict__


class BadValue(ProcessingError):
    """A segment of the path is not of the type that its template gives it."""

    text = "a part of the path is not what the template takes"


class OutOfRange(ProcessingError):
    """A value is well formed, but the source has nothing there."""

    text = "the source has nothing there"


class UnknownName(ProcessingError):
    """There is no such template, processor or value."""

    text = "there is no such name"


class TooLarge(ProcessingError):
    """The request would exceed a limit: pixels, bytes, memory."""

    text = "the request is too large"


class UnsupportedFormat(ProcessingError):
    """The source is sound, but in a codec or layout that is not supported, or the output is."""

    text = "the format is not supported"


class Malformed(ProcessingError):
    """The source is not what the template takes, or is damaged."""

    text = "the source cannot be read as what the template takes"


class SourceChanged(ProcessingError):
    """The source became another version while the file was made."""

    text = "the source changed meanwhile"


class OverTime(ProcessingError):
    """The work took longer than allowed."""

    text = "it took too long"


class Busy(ProcessingError):
    """Too much is being computed now; asking again after some seconds may help."""

    text = "too much is being computed now"
    retry_after_seconds: int = 1


class Cancelled(ProcessingError):
    """Nobody waits for the file any more."""

    text = "nobody waits for it any more"


class Crashed(ProcessingError):
    """A worker died at this request, and at the retry."""

    text = "the computation failed twice"


class Poisoned(ProcessingError):
    """This request killed workers before and is refused until its source changes."""

    text = "this request has failed repeatedly and is refused"


class NoResultSpace(ProcessingError):
    """The disk takes no more results."""

    text = "there is no space for the result"


def leaves() -> tuple[type[ProcessingError], ...]:
    """Return every class below ProcessingError."""
    return tuple(ProcessingError.__subclasses__())

"""Members: the files of a folder, counted and with names that are safe anywhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from processors.base import Context, Folder, Member, Source
from processors.errors import Malformed, SourceChanged, TooLarge

_LINE = 100


def members_of(folder: Folder, context: Context) -> list[Member]:
    """Return every file beneath `folder`, sorted by path; TooLarge when there are too many."""
    limit = context.limits.members
    found: list[Member] = []
    for member in folder.members():
        if len(found) == limit:
            raise TooLarge(
                f"{folder.name} holds too many files",
                asked=f"more than {limit} files",
                limit=f"{limit} files",
            )
        check_name(member.path)
        found.append(member)
        if not len(found) % 1000:
            context.check()
    return sorted(found, key=lambda member: member.path)


@contextmanager
def opened(folder: Folder, member: Member) -> Iterator[Source]:
    """Give the bytes of one member; SourceChanged when it is not the one that was listed."""
    with folder.open(member) as source:
        if source.size != member.size or source.version != member.version:
            raise SourceChanged(f"{shown(member.path)} is another version by now")
        yield source


def check_name(path: str) -> None:
    """Raise Malformed for a path that would leave the folder that it is unpacked into."""
    if "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        raise Malformed(f"the name {shown(path)} would not stay in the folder")


def shown(name: str) -> str:
    """Return `name` for a message: quoted, and no longer than a line."""
    text = ascii(name)
    return text if len(text) <= _LINE else f"{text[: _LINE - 4]}...'"

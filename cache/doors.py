"""Doors: names to things, through entry points.

What comes with Headgate comes in by the same door as everybody else's. Nothing is imported until
its name is asked for, so a part whose packages are not installed costs nothing and breaks nothing.
"""

import difflib
import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

_EXTRA = re.compile(r"""\s*([A-Za-z0-9._-]+).*;.*\bextra\s*==\s*["']([^"']+)["']""")


class DoorError(Exception):
    """A name leads to nothing usable; the text says why and what to do."""


class Doors:
    """What is registered in one group of entry points, found once.

    `noun` is what one of them is called. `refusal` says why a thing that was loaded is none, or "".
    `_found` is set in one atomic step, at the first use; all else is fixed.
    """

    def __init__(self, group: str, noun: str, refusal: Callable[[object], str]) -> None:
        self._group = group
        self._noun = noun
        self._refusal = refusal
        self._found: dict[str, list[EntryPoint]] | None = None

    def names(self) -> tuple[str, ...]:
        """Return every registered name, sorted, without importing anything."""
        return tuple(sorted(self.found()))

    def load(self, name: str) -> object:
        """Import and return what stands behind `name`.

        Raises DoorError when the name is unknown, when a package that is needed is not installed,
        or when what stands there is refused.
        """
        doors = self.found().get(name)
        if doors is None:
            raise DoorError(self._unknown(name))
        if len(doors) > 1:
            owners = " and ".join(sorted(owner(door) for door in doors))
            raise DoorError(
                f"two packages register the {self._noun} {name!r}: {owners}; remove one"
            )
        door = doors[0]
        try:
            thing: object = door.load()
        except ImportError as error:
            raise DoorError(self._not_importable(door, error)) from error
        except Exception as error:
            # A plugin is foreign code: whatever its import raises is told under its name.
            raise DoorError(f"{self._describe(door)} fails to load: {one_line(error)}") from error
        cause = self._refusal(thing)
        if cause:
            subject = "" if cause.startswith("its ") else f"{door.value} "
            raise DoorError(f"{self._describe(door)} is refused: {subject}{cause}")
        return thing

    def found(self) -> dict[str, list[EntryPoint]]:
        """Return the entry points by their names."""
        if self._found is None:
            found: dict[str, list[EntryPoint]] = {}
            for door in entry_points(group=self._group):
                same = found.setdefault(door.name, [])
                if all(door.value != other.value for other in same):
                    same.append(door)
            self._found = found
        return self._found

    def forget(self) -> None:
        """Look anew at the next use."""
        self._found = None

    def _unknown(self, name: str) -> str:
        known = self.names()
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        return f"there is no {self._noun} {name!r}{hint} known are: {', '.join(known) or 'none'}"

    def _not_importable(self, door: EntryPoint, error: ImportError) -> str:
        missing = (error.name or "").partition(".")[0]
        own = door.module.partition(".")[0]
        if not missing or missing == own:
            return f"{self._describe(door)} fails to load: {one_line(error)}"
        extra = extra_with(door, missing)
        if extra is None:
            return f"{self._describe(door)} needs the package {missing!r}: {one_line(error)}"
        return (
            f"{self._describe(door)} needs the package {missing!r}, which is not installed;"
            f" install it with: pip install '{owner(door)}[{extra}]'"
        )

    def _describe(self, door: EntryPoint) -> str:
        return f"the {self._noun} {door.name!r} of {owner(door)}"


def extra_with(door: EntryPoint, package: str) -> str | None:
    """Return the extra of the door's own distribution that brings `package`.

    Where a package is imported by another name than it is installed by, the entry point itself
    names the extra: `s3 = "providers.s3:S3Provider [s3]"`.
    """
    requires = (door.dist.requires if door.dist else None) or ()
    extras = [
        match[2]
        for match in map(_EXTRA.match, requires)
        if match and _normal(match[1]) == _normal(package)
    ]
    extras = extras or door.extras
    return door.name if door.name in extras else next(iter(extras), None)


def owner(door: EntryPoint) -> str:
    """Return the distribution that registers `door`."""
    return door.dist.name if door.dist else "an unknown package"


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

"""Names to provider classes, through the entry points `headgate.providers`.

The built-in stores come in by the same door as everybody else's. Nothing is imported until its
name is asked for, so a store whose packages are not installed costs nothing and breaks nothing.
"""

import difflib
import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from providers.base import Options, Provider

GROUP = "headgate.providers"

_EXTRA = re.compile(r"""\s*([A-Za-z0-9._-]+).*;.*\bextra\s*==\s*["']([^"']+)["']""")


class RegistryError(Exception):
    """A provider's name leads to no usable class; the text says why and what to do."""


def names() -> tuple[str, ...]:
    """Return every registered name, sorted, without importing anything."""
    return tuple(sorted(_doors()))


def find(name: str) -> type[Provider]:
    """Import and return the class behind `name`.

    Raises RegistryError when the name is unknown, when a package that the class needs is not
    installed, or when what stands there is no provider.
    """
    doors = _doors().get(name)
    if doors is None:
        raise RegistryError(_unknown(name))
    if len(doors) > 1:
        owners = " and ".join(sorted(_owner(door) for door in doors))
        raise RegistryError(f"two packages register the provider {name!r}: {owners}; remove one")
    return _load(doors[0])


def make(name: str, options: Options) -> Provider:
    """Return a new provider of the class behind `name`; RegistryError when it cannot be made."""
    maker = cast("Callable[[Options], Provider]", find(name))
    try:
        return maker(options)
    except Exception as error:
        raise RegistryError(
            f"a store of the provider {name!r} cannot be made: {_one_line(error)}"
        ) from error


def _load(door: EntryPoint) -> type[Provider]:
    try:
        thing: object = door.load()
    except ImportError as error:
        raise RegistryError(_not_importable(door, error)) from error
    except Exception as error:
        # A plugin is foreign code: whatever its import raises is told under its name.
        raise RegistryError(f"{_describe(door)} fails to load: {_one_line(error)}") from error
    if not (isinstance(thing, type) and issubclass(thing, Provider)):
        raise RegistryError(
            f"{_describe(door)} is refused: {door.value} is not a subclass of"
            " providers.base.Provider"
        )
    options = getattr(thing, "options", None)
    if not (isinstance(options, type) and issubclass(options, Options)):
        raise RegistryError(
            f"{_describe(door)} is refused: its 'options' is not a subclass of"
            " providers.base.Options"
        )
    return thing


@cache
def _doors() -> dict[str, list[EntryPoint]]:
    doors: dict[str, list[EntryPoint]] = {}
    for door in entry_points(group=GROUP):
        same = doors.setdefault(door.name, [])
        if all(door.value != other.value for other in same):
            same.append(door)
    return doors


def _unknown(name: str) -> str:
    known = names()
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"there is no provider {name!r}{hint} known are: {', '.join(known) or 'none'}"


def _not_importable(door: EntryPoint, error: ImportError) -> str:
    missing = (error.name or "").partition(".")[0]
    own = door.module.partition(".")[0]
    if not missing or missing == own:
        return f"{_describe(door)} fails to load: {_one_line(error)}"
    extra = _extra_with(door, missing)
    if extra is None:
        return f"{_describe(door)} needs the package {missing!r}: {_one_line(error)}"
    return (
        f"{_describe(door)} needs the package {missing!r}, which is not installed;"
        f" install it with: pip install '{_owner(door)}[{extra}]'"
    )


def _extra_with(door: EntryPoint, package: str) -> str | None:
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


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _owner(door: EntryPoint) -> str:
    return door.dist.name if door.dist else "an unknown package"


def _describe(door: EntryPoint) -> str:
    return f"the provider {door.name!r} of {_owner(door)}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

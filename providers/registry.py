"""Names to provider classes, through the entry points `headgate.providers`."""

from collections.abc import Callable
from typing import cast

from cache.doors import DoorError, Doors, one_line
from providers.base import Options, Provider


class RegistryError(Exception):
    """A provider's name leads to no usable class; the text says why and what to do."""


def names() -> tuple[str, ...]:
    """Return every registered name, sorted, without importing anything."""
    return DOORS.names()


def find(name: str) -> type[Provider]:
    """Import and return the class behind `name`.

    Raises RegistryError when the name is unknown, when a package that the class needs is not
    installed, or when what stands there is no provider.
    """
    try:
        return cast("type[Provider]", DOORS.load(name))
    except DoorError as error:
        raise RegistryError(str(error)) from error


def make(name: str, options: Options) -> Provider:
    """Return a new provider of the class behind `name`; RegistryError when it cannot be made."""
    maker = cast("Callable[[Options], Provider]", find(name))
    try:
        return maker(options)
    except Exception as error:
        raise RegistryError(
            f"a store of the provider {name!r} cannot be made: {one_line(error)}"
        ) from error


def _refusal(thing: object) -> str:
    if not (isinstance(thing, type) and issubclass(thing, Provider)):
        return "is not a subclass of providers.base.Provider"
    options = getattr(thing, "options", None)
    if not (isinstance(options, type) and issubclass(options, Options)):
        return "its 'options' is not a subclass of providers.base.Options"
    return ""


DOORS = Doors("headgate.providers", "provider", _refusal)

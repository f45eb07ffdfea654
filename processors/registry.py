"""Names to processors, through the entry points `headgate.processors`."""

from functools import cache
from typing import cast

from cache.doors import DoorError, Doors
from processors.base import Params, Processor


class RegistryError(Exception):
    """A processor's name leads to nothing usable; the text says why and what to do."""


def names() -> tuple[str, ...]:
    """Return every registered name, sorted, without importing anything."""
    return DOORS.names()


@cache
def find(name: str) -> Processor:
    """Import what stands behind `name`, a class or a decorated function, and return one of it.

    Raises RegistryError when the name is unknown, when a package that it needs is not installed,
    or when what stands there is no processor.
    """
    try:
        maker = cast("type[Processor]", DOORS.load(name))
    except DoorError as error:
        raise RegistryError(str(error)) from error
    if maker.name != name:
        raise RegistryError(
            f"the processor {name!r} is refused: it calls itself {maker.name!r}; register it under"
            " that name"
        )
    return maker()


def _refusal(thing: object) -> str:
    if not (isinstance(thing, type) and issubclass(thing, Processor)):
        return "is neither a subclass of processors.base.Processor nor decorated with @processor"
    params, formats = getattr(thing, "params", None), getattr(thing, "formats", None)
    if not (isinstance(params, type) and issubclass(params, Params)):
        return "its 'params' is not a subclass of processors.base.Params"
    if not formats or not getattr(thing, "name", ""):
        return "its 'formats' and 'name' must not be empty"
    return ""


DOORS = Doors("headgate.processors", "processor", _refusal)

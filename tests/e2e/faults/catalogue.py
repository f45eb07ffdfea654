"""The form of a check: a function that is given an empty folder and raises Fault."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeVar

from tests.servers.target import Target

F = TypeVar("F", bound=Callable[..., None])


@dataclasses.dataclass(frozen=True)
class Check:
    """One promise about a server, for one shape of the request.

    `plain` is what plain WsgiDAV is seen to do instead: a part of the Fault's message. It is None
    where plain WsgiDAV keeps the promise, or cannot be shown to break it in a few seconds.
    """

    function: Callable[..., None]
    shape: str | None
    plain: str | None

    @property
    def name(self) -> str:
        """What the test is called."""
        name = self.function.__name__
        return name if self.shape is None else f"{name}-{self.shape}"

    def __call__(self, target: Target) -> None:
        """Run the check in an empty folder."""
        if self.shape is None:
            self.function(target)
        else:
            self.function(target, self.shape)


class Catalogue(list[Check]):
    """The checks of one module, in its order."""

    def check(self, *shapes: str, plain: str | Mapping[str, str] | None = None) -> Callable[[F], F]:
        """Enter a function, once a shape. `plain` may differ by shape."""

        def enter(function: F) -> F:
            for shape in shapes or (None,):
                seen = plain.get(shape or "") if isinstance(plain, Mapping) else plain
                self.append(Check(function, shape, seen))
            return function

        return enter

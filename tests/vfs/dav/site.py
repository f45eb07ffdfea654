"""A whole gateway in this process: a tree, a state store and the gate before them, no socket."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from providers.base import Provider
from tests.vfs.http.asking import Answer, ask
from vfs.auth.caller import Caller
from vfs.auth.rights import Rights
from vfs.dav.door import handlers
from vfs.dav.parts import Parts
from vfs.http.gate import Gate, Handler
from vfs.http.request import Request, Response
from vfs.state.follower import Follower
from vfs.state.sqlite import SqliteStore
from vfs.tree.mounts import Mount, MountTable
from vfs.tree.tree import Tree

DAV = "{DAV:}"
BASE = "http://gw.test"


class Member(NamedTuple):
    """One response of a 207: its status, or that of each property by its tag, and its text."""

    status: int | None
    properties: dict[str, int]
    element: ET.Element

    def text(self, tag: str) -> str | None:
        """Return the text of a property, None where it has none."""
        if self.properties.get(tag) != 200:
            return None
        return self.element.findtext(f"{DAV}propstat/{DAV}prop/{tag}")


class Site:
    """Asks as any user: whoever a request says it is from, it is. All attributes are fixed."""

    def __init__(
        self,
        folder: Path,
        mounts: Mapping[str, Provider] | list[Mount],
        *,
        rights: Rights | None = None,
        now_ns: Callable[[], int] | None = None,
    ) -> None:
        if isinstance(mounts, Mapping):
            mounts = [Mount(path, [provider]) for path, provider in mounts.items()]
        self.tree = Tree(MountTable(mounts), rights)
        file = folder / "state.db"
        self.store = SqliteStore(file, now_ns=now_ns) if now_ns else SqliteStore(file)
        self.tree.events.follow(Follower(self.store, self.tree.exists).follow)
        table = handlers(self.tree, self.store, Parts(self.store, folder / "uploads"))
        self.gate = Gate({method: _named(handler) for method, handler in table.items()})

    def __call__(
        self,
        method: str,
        target: str,
        body: bytes | str | None = None,
        *,
        user: str = "",
        **headers: str,
    ) -> Answer:
        """Send one request. Underscores in header names stand for hyphens."""
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        if user:
            spelled["X-User"] = user
        data = body.encode() if isinstance(body, str) else body
        return ask(self.gate, method, target, data, spelled)

    def put(self, target: str, body: bytes = b"bytes", **headers: str) -> None:
        """Put a file that has to arrive."""
        answer = self("PUT", target, body, **headers)
        assert answer.status in (201, 204), answer

    def mkcol(self, *targets: str) -> None:
        """Make folders that have to appear."""
        for target in targets:
            assert self("MKCOL", target).status == 201, target

    def lock(
        self,
        target: str,
        *,
        scope: str = "exclusive",
        depth: str = "0",
        user: str = "",
        **headers: str,
    ) -> str:
        """Take a lock that has to be granted; return its token in angle brackets."""
        answer = self.try_lock(target, scope=scope, depth=depth, user=user, **headers)
        assert answer.status in (200, 201), answer
        return answer.headers["lock-token"]

    def try_lock(
        self,
        target: str,
        *,
        scope: str = "exclusive",
        depth: str = "0",
        user: str = "",
        **headers: str,
    ) -> Answer:
        """Ask for a lock."""
        body = (
            f'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:{scope}/></D:lockscope>'
            "<D:locktype><D:write/></D:locktype></D:lockinfo>"
        )
        return self("LOCK", target, body, user=user, Depth=depth, **headers)

    def set(self, target: str, **values: str) -> Answer:
        """Set properties without a namespace."""
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
        return self.proppatch(target, f"<D:set><D:prop>{inner}</D:prop></D:set>")

    def proppatch(self, target: str, steps: str, **headers: str) -> Answer:
        """Send a PROPPATCH of these steps."""
        body = f'<D:propertyupdate xmlns:D="DAV:">{steps}</D:propertyupdate>'
        return self("PROPPATCH", target, body, **headers)

    def get(self, target: str, name: str) -> str | None:
        """Return the text of a property without a namespace."""
        (member,) = self.propfind(target, f"<prop><{name} xmlns=''/></prop>").values()
        return member.text(name)

    def propfind(self, target: str, inner: str, *, depth: str = "0") -> dict[str, Member]:
        """Ask for properties; return the responses by href."""
        body = f'<propfind xmlns="DAV:">{inner}</propfind>'
        answer = self("PROPFIND", target, body, Depth=depth)
        assert answer.status == 207, answer
        return members(answer)


def members(answer: Answer) -> dict[str, Member]:
    """Return the responses of a 207 by their href."""
    found = {}
    for response in ET.fromstring(answer.body).iter(f"{DAV}response"):
        status = response.findtext(f"{DAV}status")
        properties = {
            element.tag: _code(propstat.findtext(f"{DAV}status"))
            for propstat in response.iter(f"{DAV}propstat")
            for element in propstat.find(f"{DAV}prop") or ()
        }
        href = response.findtext(f"{DAV}href")
        assert href is not None
        found[href] = Member(None if status is None else _code(status), properties, response)
    return found


def condition(answer: Answer) -> tuple[str, list[str]]:
    """Return the DAV: condition that an error body names, and its hrefs."""
    element, *_ = ET.fromstring(answer.body)  # what follows tells it to people
    return element.tag.removeprefix(DAV), [href.text or "" for href in element]


def _code(status: str | None) -> int:
    assert status is not None
    return int(status.split()[1])


def _named(handler: Handler) -> Handler:
    def handle(request: Request) -> Response:
        request.caller = Caller(name=request.headers.get("x-user"))
        return handler(request)

    return handle

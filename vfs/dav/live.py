"""Live properties: what the gateway computes, for one request."""

from collections.abc import Mapping

from providers.base import Entry
from providers.errors import StorageError
from vfs.auth.right import Right
from vfs.dav.bodies import DAV
from vfs.dav.locks import lockdiscovery
from vfs.dav.multistatus import BASIC, Value
from vfs.dav.xml import Name
from vfs.http.markup import OURS, escape
from vfs.http.request import Request
from vfs.http.target import quote
from vfs.state.base import Depth, LockRecord
from vfs.tree import paths
from vfs.tree.tree import Tree

LOCKDISCOVERY = Name(DAV, "lockdiscovery")
SUPPORTEDLOCK = Name(DAV, "supportedlock")
QUOTA_AVAILABLE = Name(DAV, "quota-available-bytes")
QUOTA_USED = Name(DAV, "quota-used-bytes")
PRINCIPAL = Name(DAV, "current-user-principal")
PRIVILEGES = Name(DAV, "current-user-privilege-set")
STATE = Name(OURS, "state")
"""Of a folder where a store is mounted: "live", or "down" while the store does not answer."""
STALE = Name(OURS, "stale-seconds")
"""For how long what is said is out of date, as the store does not answer; absent if it does."""

IN_ALL = (*BASIC, SUPPORTEDLOCK, LOCKDISCOVERY)
"""What allprop gives: RFC 4331 and RFC 3744 leave their properties out of it, and so do we."""

PRINCIPALS = "/.headgate-principals"
"""Where the hrefs of principals lie: a reserved name, so no file can be there."""

SUPPORTED = "".join(
    f"<D:lockentry><D:lockscope><D:{scope}/></D:lockscope>"
    "<D:locktype><D:write/></D:locktype></D:lockentry>"
    for scope in ("exclusive", "shared")
)
_PRIVILEGES = {
    Right.LIST: ("read",),
    Right.READ: ("read",),
    Right.CREATE: ("bind",),
    Right.MODIFY: ("write-content", "write-properties"),
    Right.DELETE: ("unbind",),
    Right.LOCK: ("unlock",),
}


class Live:
    """Computes the properties of a resource and its members for one request.

    `values` is fixed; `locks` are those on the requested path and on single members, `inherited`
    those that all members have.
    """

    def __init__(self, tree: Tree, request: Request) -> None:
        self._tree = tree
        self._request = request
        self._usage: tuple[int | None, int | None] | None = None
        self.inherited: list[LockRecord] = []
        self.locks: dict[str, list[LockRecord]] = {}
        self.values: Mapping[Name, Value] = {
            **BASIC,
            SUPPORTEDLOCK: lambda _path, _entry: SUPPORTED,
            LOCKDISCOVERY: self._lockdiscovery,
            QUOTA_AVAILABLE: lambda path, entry: self._quota(path, entry)[1],
            QUOTA_USED: lambda path, entry: self._quota(path, entry)[0],
            PRINCIPAL: lambda _path, _entry: self._principal(),
            PRIVILEGES: lambda path, _entry: self._privileges(path),
            STATE: lambda path, _entry: self._state(path),
            STALE: lambda _path, entry: (
                str(round(entry.stale_seconds)) if entry.stale_seconds else None
            ),
        }

    def take(self, locks: list[LockRecord]) -> None:
        """Take the locks that cover the requested path: some of them its members inherit."""
        self.locks[self._request.path] = locks
        self.inherited = [lock for lock in locks if lock.depth is Depth.INFINITY]

    def _lockdiscovery(self, path: str, _entry: Entry) -> str:
        own = self.locks.get(path, [])
        if path == self._request.path:
            return lockdiscovery(self._request, own)
        return lockdiscovery(self._request, [*own, *self.inherited])

    def _quota(self, path: str, entry: Entry) -> tuple[str | None, str | None]:
        """Return used and available bytes of the requested path's store, for folders.

        Asked once a request. A store that does not say, or is down, has no such properties, nor
        has the folder of another mount: absent is better than wrong.
        """
        if not entry.is_folder or (path != self._request.path and path in self._tree.table.mounts):
            return None, None
        if self._usage is None:
            self._usage = (None, None)
            try:
                usage = self._tree.usage(self._request.caller, self._request.path)
            except StorageError:
                usage = None
            if usage is not None:
                self._usage = (usage.used, usage.available)
        used, available = self._usage
        return None if used is None else str(used), None if available is None else str(available)

    def _state(self, path: str) -> str | None:
        mount = self._tree.table.mounts.get(path)
        if mount is None:
            return None
        return "live" if mount.down_seconds is None else "down"

    def _principal(self) -> str:
        name = self._request.caller.name
        if name is None:
            return "<D:unauthenticated/>"
        return f"<D:href>{quote(paths.join(PRINCIPALS, name))}</D:href>"

    def _privileges(self, path: str) -> str:
        granted = {
            privilege
            for right, privileges in _PRIVILEGES.items()
            if self._tree.rights.allows(self._request.caller, path, right)
            for privilege in privileges
        }
        return "".join(
            f"<D:privilege><D:{escape(name)}/></D:privilege>" for name in sorted(granted)
        )

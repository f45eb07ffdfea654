"""Engine: WsgiDAV's request server over the tree and the state store.

The one file that knows wsgidav. A method that its request server does right is its own; the others
are replaced by the handlers beside this file; docs/design/decisions says for each why.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from wsgidav.dav_error import HTTP_CONFLICT, DAVError, PRECONDITION_CODE_LockTokenMismatch
from wsgidav.dav_provider import DAVProvider
from wsgidav.request_server import RequestServer

from providers.errors import NotFound
from vfs.auth.right import Right
from vfs.dav.granted import Granted
from vfs.dav.locks import Locks, principal
from vfs.http.bad_request import BadRequest
from vfs.http.request import Request, Response
from vfs.state.base import Depth, LockRecord, StateStore
from vfs.state.errors import NoSuchLock
from vfs.tree import paths
from vfs.tree.tree import Tree

_REQUEST = "headgate.request"


class Engine:
    """Runs methods of WsgiDAV's request server. All attributes are fixed."""

    def __init__(self, tree: Tree, store: StateStore, locks: Locks) -> None:
        self._tree = tree
        self._store = store
        self._locks = locks

    def unlock(self, request: Request) -> Response:
        """End a lock that covers the resource and is the caller's own."""
        # One for each request, so that the lock which it names is looked up once.
        manager = _LockManager(self._store, self._locks.granted)
        server = _Server(_TreeProvider(self._tree, manager), self._locks)
        return self._run(server.do_UNLOCK, request)

    def _run(self, method: Callable[..., Any], request: Request) -> Response:
        answer: list[tuple[int, list[tuple[str, str]]]] = []

        def start(status: str, headers: list[tuple[str, str]], _error: object = None) -> None:
            kept = [header for header in headers if header[0] not in ("Content-Length", "Date")]
            answer.append((int(status[:3]), kept))

        # What such a method looks at; there is no server beneath that wants to see more.
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "CONTENT_LENGTH": request.headers.get("content-length", ""),
            "wsgidav.user_name": principal(request),
            _REQUEST: request,
        }
        token = request.headers.get("lock-token")
        if token is not None:
            environ["HTTP_LOCK_TOKEN"] = token
        try:
            body = b"".join(method(environ, start))
        except DAVError as error:
            raise _refusal(error) from error
        status, headers = answer[0]
        return Response(status, headers, b"" if status == HTTPStatus.NO_CONTENT else body)


class _Server(RequestServer):  # type: ignore[misc] # wsgidav has no types
    """WsgiDAV's request server with our own reading of the If header, which is exact."""

    def __init__(self, provider: "_TreeProvider", locks: Locks) -> None:
        super().__init__(provider)
        self._locks = locks

    def _evaluate_if_headers(self, _resource: object, environ: dict[str, Any]) -> None:
        self._locks.judge(environ[_REQUEST])


class _TreeProvider(DAVProvider):  # type: ignore[misc] # wsgidav has no types
    """The tree as WsgiDAV sees it."""

    def __init__(self, tree: Tree, manager: "_LockManager") -> None:
        super().__init__()
        self._tree = tree
        self.lock_manager = manager

    def get_resource_inst(self, path: str, environ: dict[str, Any]) -> "_Resource | None":
        """Return what stands at `path`, or None."""
        caller = environ[_REQUEST].caller
        self._tree.check(caller, path, Right.LOCK)
        try:
            self._tree.stat(caller, path, Right.LOCK)
        except NotFound:
            return None
        return _Resource(path)


class _Resource:
    """What WsgiDAV must know of a resource to unlock it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def get_ref_url(self) -> str:
        """Return the name under which locks know it."""
        return self._path


class _LockManager:
    """WsgiDAV's questions about the one lock that a request names."""

    def __init__(self, store: StateStore, granted: Granted) -> None:
        self._store = store
        self._granted = granted
        self._lock: LockRecord | None = None

    def is_url_locked_by_token(self, path: str, token: str) -> bool:
        """Tell whether the lock of this token covers `path`; what follows is about that one."""
        lock = self._granted.get(token)
        if lock is None:
            lock = next((lock for lock in self._store.locks_on(path) if lock.token == token), None)
        elif lock.path != path and not (
            lock.depth is Depth.INFINITY and paths.is_within(path, lock.path)
        ):
            lock = None
        self._lock = lock
        return lock is not None

    def is_token_locked_by_user(self, _token: str, user: str) -> bool:
        """Tell whether the lock is this user's."""
        return self._lock is not None and self._lock.principal == user

    def release(self, _token: str) -> None:
        """End the lock; the answer is that of a token which is none when it has ended already."""
        assert self._lock is not None
        self._granted.drop(self._lock)
        try:
            self._store.release(self._lock)
        except NoSuchLock:
            raise DAVError(
                HTTP_CONFLICT,
                "Resource is not locked by token.",
                err_condition=PRECONDITION_CODE_LockTokenMismatch,
            ) from None


def _refusal(error: DAVError) -> BadRequest:
    condition = error.err_condition
    return BadRequest(
        error.value,
        error.context_info or HTTPStatus(error.value).description,
        condition=condition.condition_code.removeprefix("{DAV:}") if condition else "",
    )

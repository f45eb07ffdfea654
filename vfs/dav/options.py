"""OPTIONS: what is served, told to anybody who asks."""

from collections.abc import Callable

from vfs.http.request import Request, Response
from vfs.http.writing import UPDATE_TYPE

DAV_CLASSES = "1, 2, 3, extended-mkcol, sabredav-partialupdate"


def options(methods: Callable[[], str]) -> Callable[[Request], Response]:
    """Return the handler of OPTIONS for a server of these methods."""

    def handle(_request: Request) -> Response:
        return Response(
            200,
            [
                ("Allow", methods()),
                ("DAV", DAV_CLASSES),
                # Without it Office opens files read-only.
                ("MS-Author-Via", "DAV"),
                ("Accept-Ranges", "bytes"),
                ("Accept-Patch", UPDATE_TYPE),
            ],
        )

    return handle

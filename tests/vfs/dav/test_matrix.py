"""Each method on each kind of place is answered as this table says, and never by a 5xx."""

from pathlib import Path

import pytest

from providers.memory import MemoryOptions, MemoryProvider
from tests.vfs.dav.site import Site
from vfs.tree.mounts import Mount

PLACES = {
    "file": "/m/f",
    "folder": "/m/d",
    "missing": "/m/x",
    "orphan": "/m/x/y",
    "in-file": "/m/f/y",
    "mount": "/m",
    "root": "/",
    "way": "/v",  # a folder that exists as the way to a mount alone
    "nowhere": "/n",  # no store is mounted there
    "ro-file": "/ro/f",
    "ro-new": "/ro/x",
}

# Two numbers: without and with a slash at the end. COPY and MOVE "to" have the place as their
# Destination, and "onto" forbids to overwrite it.
TABLE = """
            file     folder missing  orphan   in-file  mount root way  nowhere  ro-file  ro-new
OPTIONS     200      200    200      200      200      200   200  200  200      200      200
GET         200/404  200    404      404      404      200   200  200  404      200/404  404
HEAD        200/404  200    404      404      404      200   200  200  404      200/404  404
PUT         204/405  405    201/405  409/405  409/405  405   405  405  403/405  403/405  403/405
PATCH       204      405    404      404      409      405   405  405  404      403      404
PROPFIND    207      207    404      404      404      207   207  207  404      207      404
PROPPATCH   207      207    404      404      404      207   207  207  404      403      403
MKCOL       405      405    201      409      409      405   405  405  403      405      403
DELETE      204      204    404      404      404      403   403  403  404      403      404
COPY        201      201    404      404      404      403   403  201  404      201      404
MOVE        201      201    404      404      404      403   403  403  404      403      404
COPY-to     204      204    201      409      409      403   403  403  403      403      403
MOVE-to     204      204    201      409      409      403   403  403  403      403      403
COPY-onto   412      412    201      409      409      403   403  403  403      403      403
MOVE-onto   412      412    201      409      409      403   403  403  403      403      403
LOCK        200      200    201/405  409/405  409/405  200   200  200  403/405  403      403
UNLOCK      409      409    404      404      404      409   409  409  404      403      403
"""

_LOCK = (
    '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
_PATCH = (
    '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><p>1</p></D:prop></D:set></D:propertyupdate>'
)
_BODIES = {"PUT": "new", "PATCH": "x", "PROPPATCH": _PATCH, "LOCK": _LOCK}
_HEADERS = {
    "PATCH": {
        "Content_Type": "application/x-sabredav-partialupdate",
        "X_Update_Range": "bytes=0-0",
    },
    "PROPFIND": {"Depth": "1"},
    "COPY": {"Destination": "/m/goal"},
    "MOVE": {"Destination": "/m/goal"},
    "UNLOCK": {"Lock_Token": "<opaquelocktoken:x>"},
}


def _site(folder: Path) -> Site:
    served, kept, hidden = (MemoryProvider(MemoryOptions()) for _ in range(3))
    for store in (served, kept):
        store.mkdir("d")
        for name in ("f", "source", "d/member"):
            with store.create(name) as writer:
                writer.write(b"1")
                writer.commit()
    mounts = [Mount("/m", [served]), Mount("/v/w", [hidden])]
    return Site(folder, [*mounts, Mount("/ro", [kept], read_only=True)])


def _ask(site: Site, what: str, place: str) -> int:
    method, _, role = what.partition("-")
    if role:
        overwrite = "T" if role == "to" else "F"
        return site(method, "/m/source", Destination=place, Overwrite=overwrite).status
    return site(method, place, _BODIES.get(method), **_HEADERS.get(method, {})).status


def _rows() -> dict[str, list[str]]:
    names, *lines = TABLE.strip().splitlines()
    assert names.split() == list(PLACES)
    return {line.split()[0]: line.split()[1:] for line in lines}


@pytest.mark.parametrize("what", _rows())
def test_matrix(what: str, tmp_path: Path) -> None:
    told = []
    for number, (name, path) in enumerate(PLACES.items()):
        statuses: list[int] = []
        for slash in ("", "/") if path != "/" else ("",):
            folder = tmp_path / f"{number}{len(statuses)}"
            folder.mkdir()
            site = _site(folder)
            statuses.append(_ask(site, what, path + slash))
            site.store.close()
        assert max(statuses) < 500, name
        told.append("/".join(map(str, dict.fromkeys(statuses))))
    assert dict(zip(PLACES, told, strict=True)) == dict(zip(PLACES, _rows()[what], strict=True))


def test_every_method_has_its_row(site: Site) -> None:
    methods = {what.partition("-")[0] for what in _rows()}
    assert methods == set(site("OPTIONS", "/").headers["allow"].split(", "))

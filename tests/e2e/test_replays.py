"""Request sequences of desktop clients, replayed: the wire of Finder, Explorer and Office.

They are built from captures and reports of those clients, and are sent byte for byte as plain
HTTP. They are replays; none of these programs takes part.
"""

from dataclasses import dataclass, field

import pytest

from tests.e2e.wire import DAV, Answer, ask, lock_body, members, mkcol, prop, put, url
from tests.servers.target import Target

_XML = 'text/xml; charset="utf-8"'
_FINDER = "WebDAVFS/3.0.0 (03008000) Darwin/23.5.0 (x86_64)"
_WINDOWS = "Microsoft-WebDAV-MiniRedir/10.0.19045"
_OFFICE = "Microsoft Office Word 2014"


@dataclass
class Replay:
    """A client's way of asking, with its own headers on each request."""

    target: Target
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        statuses: int | set[int],
        method: str,
        name: str,
        body: bytes | None = None,
        /,
        **headers: str,
    ) -> Answer:
        """Send one request; it has to be answered with one of the statuses."""
        answer = ask(self.target, method, name, body, **{**self.headers, **headers})
        wanted = {statuses} if isinstance(statuses, int) else statuses
        assert answer.status in wanted, f"{method} {name}: {answer.status} {answer.body[:300]!r}"
        return answer

    def lock(self, name: str, status: int, owner: str, **headers: str) -> str:
        """Take a lock and return its If header."""
        body = lock_body(owner=owner)
        headers = {"Content_Type": _XML, "Depth": "0", **headers}
        answer = self.ask(status, "LOCK", name, body, **headers)
        token = answer.header("Lock-Token")
        assert token.startswith(("<opaquelocktoken:", "<urn:uuid:"))
        assert token[1:-1].encode() in answer.body
        return f"({token})"


def _propfind(*names: str) -> bytes:
    found = "".join(f"<D:{name}/>" for name in names)
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<D:propfind xmlns:D="DAV:"><D:prop>{found}'
        "</D:prop></D:propfind>\n"
    ).encode()


_FINDER_PROPERTIES = _propfind(
    "getlastmodified", "getcontentlength", "creationdate", "resourcetype"
)
_FINDER_QUOTA = _propfind("quota-available-bytes", "quota-used-bytes", "quota", "quotaused")


def _finder_put(finder: Replay, name: str, body: bytes, condition: str) -> None:
    """Write one file as Finder does: empty, locked, looked at, filled in chunks, released."""
    finder.ask(404, "PROPFIND", name, _FINDER_PROPERTIES, Depth="0", Content_Type=_XML)
    finder.ask(201, "PUT", name, b"")
    token = finder.lock(
        name, 200, "<D:href>http://www.apple.com/webdav_fs/</D:href>", Timeout="Second-600"
    )
    finder.ask(207, "PROPFIND", name, _FINDER_PROPERTIES, Depth="0", Content_Type=_XML)
    half = len(body) // 2
    answer = ask(
        finder.target,
        "PUT",
        name,
        iter((body[:half], body[half:])) if body else b"",
        **finder.headers,
        **({"Transfer_Encoding": "Chunked"} if body else {}),
        X_Expected_Entity_Length=str(len(body)),
        **({"If": token} if condition == "if" else {"If": f"<{url(finder.target, name)}> {token}"}),
    )
    assert answer.status in {200, 201, 204}, answer
    finder.ask(207, "PROPFIND", name, _FINDER_PROPERTIES, Depth="0", Content_Type=_XML)
    finder.ask(200, "HEAD", name)
    finder.ask(204, "UNLOCK", name, Lock_Token=token[1:-1])


@pytest.mark.parametrize("condition", ["if", "if-tagged"])
def test_replayed_finder_copy(gateway: Target, condition: str) -> None:
    """A file and its AppleDouble companion arrive whole through chunked uploads under locks."""
    finder = Replay(gateway, {"User_Agent": _FINDER, "Accept": "*/*"})
    options = finder.ask({200, 204}, "OPTIONS", "")
    assert "2" in options.header("DAV")
    finder.ask(207, "PROPFIND", "", _FINDER_PROPERTIES, Depth="0", Content_Type=_XML)
    finder.ask(207, "PROPFIND", "", _FINDER_QUOTA, Depth="0", Content_Type=_XML)
    finder.ask(207, "PROPFIND", "", _FINDER_PROPERTIES, Depth="1", Content_Type=_XML)
    for probe in (".DS_Store", "._.", ".hidden", ".Spotlight-V100", ".metadata_never_index"):
        finder.ask(404, "PROPFIND", probe, _FINDER_PROPERTIES, Depth="0", Content_Type=_XML)
    body = b"finder" * 50_000
    _finder_put(finder, "Gr%C3%BC%C3%9Fe.txt", body, condition)
    _finder_put(finder, "._Gr%C3%BC%C3%9Fe.txt", b"\0\x05\x16\x07" + bytes(4092), condition)
    _finder_put(finder, "empty", b"", condition)
    assert members(gateway) == {"Grüße.txt", "._Grüße.txt", "empty"}
    assert ask(gateway, "GET", "Gr%C3%BC%C3%9Fe.txt").body == body


def test_replayed_finder_rename_and_trash(gateway: Target) -> None:
    finder = Replay(gateway, {"User_Agent": _FINDER, "Accept": "*/*"})
    finder.ask(201, "MKCOL", "untitled%20folder/")
    destination = {"Destination": url(gateway, "My%20folder/"), "Overwrite": "F"}
    finder.ask(201, "MOVE", "untitled%20folder/", None, **destination)
    _finder_put(finder, "My%20folder/._f", b"double", "if")
    _finder_put(finder, "My%20folder/f", b"bytes", "if")
    finder.ask(204, "DELETE", "My%20folder/f")
    finder.ask(204, "DELETE", "My%20folder/._f")
    finder.ask(204, "DELETE", "My%20folder/")
    assert members(gateway) == set()


_TIMES = (
    b'<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" '
    b'xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop>'
    b"<Z:Win32CreationTime>Thu, 01 Nov 2018 10:00:00 GMT</Z:Win32CreationTime>"
    b"<Z:Win32LastAccessTime>Fri, 02 Nov 2018 10:00:00 GMT</Z:Win32LastAccessTime>"
    b"<Z:Win32LastModifiedTime>Fri, 02 Nov 2018 10:00:00 GMT</Z:Win32LastModifiedTime>"
    b"<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>"
    b"</D:prop></D:set></D:propertyupdate>"
)
_WIN32 = "{urn:schemas-microsoft-com:}"


def test_replayed_windows_copy(gateway: Target) -> None:
    """Explorer's copy: OPTIONS, PROPFIND, empty PUT, LOCK, PUT, PROPPATCH of times, UNLOCK."""
    windows = Replay(gateway, {"User_Agent": _WINDOWS, "Translate": "f"})
    options = windows.ask({200, 204}, "OPTIONS", "")
    assert options.header("MS-Author-Via") == "DAV"
    windows.ask(207, "PROPFIND", "", None, Depth="0")
    windows.ask(207, "PROPFIND", "", None, Depth="1")
    windows.ask(404, "PROPFIND", "report.docx", None, Depth="0")
    windows.ask(201, "PUT", "report.docx", b"")
    token = windows.lock("report.docx", 200, "<D:href>LAB\\ana</D:href>", Timeout="Second-3600")
    body = b"windows" * 30_000
    windows.ask({200, 204}, "PUT", "report.docx", body, If=token)
    patched = windows.ask(207, "PROPPATCH", "report.docx", _TIMES, If=token, Content_Type=_XML)
    assert b"200 OK" in patched.body
    windows.ask(207, "PROPFIND", "report.docx", None, Depth="0")
    windows.ask(204, "UNLOCK", "report.docx", Lock_Token=token[1:-1])
    found = windows.ask(200, "GET", "report.docx")
    assert found.body == body
    modified = prop(gateway, "report.docx", f"{_WIN32}Win32LastModifiedTime")
    assert modified is not None
    assert modified.text == "Fri, 02 Nov 2018 10:00:00 GMT"


def test_replayed_windows_time_is_the_files_time(gateway: Target) -> None:
    """The time that Explorer sets is the one that it is shown."""
    windows = Replay(gateway, {"User_Agent": _WINDOWS, "Translate": "f"})
    put(gateway, "f", b"bytes")
    windows.ask(207, "PROPPATCH", "f", _TIMES, Content_Type=_XML)
    modified = prop(gateway, "f", f"{DAV}getlastmodified")
    assert modified is not None
    assert modified.text == "Fri, 02 Nov 2018 10:00:00 GMT"


def test_replayed_windows_rename_and_delete(gateway: Target) -> None:
    windows = Replay(gateway, {"User_Agent": _WINDOWS, "Translate": "f"})
    windows.ask(201, "MKCOL", "New%20folder")
    windows.ask(207, "PROPPATCH", "New%20folder", _TIMES, Content_Type=_XML)
    destination = {"Destination": url(gateway, "Data"), "Overwrite": "F"}
    windows.ask(201, "MOVE", "New%20folder", None, **destination)
    windows.ask(204, "DELETE", "Data")
    assert members(gateway) == set()


def test_replayed_office_edit(gateway: Target) -> None:
    """Word opens, locks, refreshes, saves under its own lock, and lets go."""
    put(gateway, "letter.docx", b"draft")
    office = Replay(gateway, {"User_Agent": _OFFICE, "X_Office_Major_Version": "16"})
    options = office.ask({200, 204}, "OPTIONS", "")
    assert "LOCK" in options.header("Allow")
    etag = office.ask(200, "HEAD", "letter.docx").header("ETag")
    owner = "<D:href>ana</D:href>"
    token = office.lock("letter.docx", 200, owner, Timeout="Second-3600")
    assert office.ask(200, "GET", "letter.docx", If_None_Match='"x"').body == b"draft"
    refreshed = office.ask(200, "LOCK", "letter.docx", If=token, Timeout="Second-3600")
    assert b"lockdiscovery" in refreshed.body
    office.ask({200, 204}, "PUT", "letter.docx", b"second", If=token)
    changed = office.ask(200, "HEAD", "letter.docx").header("ETag")
    assert changed != etag
    tagged = f"<{url(gateway, 'letter.docx')}> ({token[1:-1]} [{changed}])"
    office.ask({200, 204}, "PUT", "letter.docx", b"third", If=tagged)
    office.ask({412, 423}, "PUT", "letter.docx", b"stranger")
    office.ask({412, 423}, "LOCK", "letter.docx", lock_body(), Content_Type=_XML)
    office.ask(204, "UNLOCK", "letter.docx", Lock_Token=token[1:-1])
    assert office.ask(200, "GET", "letter.docx").body == b"third"


def test_replayed_office_save_as_a_new_name(gateway: Target) -> None:
    """LOCK on a name that is not there makes it, and the next PUT fills it."""
    office = Replay(gateway, {"User_Agent": _OFFICE})
    office.ask(404, "HEAD", "new.docx")
    token = office.lock("new.docx", 201, "<D:href>ana</D:href>", Timeout="Second-3600")
    office.ask({200, 204}, "PUT", "new.docx", b"first", If=token)
    office.ask(207, "PROPFIND", "new.docx", None, Depth="0")
    office.ask(204, "UNLOCK", "new.docx", Lock_Token=token[1:-1])
    assert office.ask(200, "GET", "new.docx").body == b"first"


def test_replayed_office_save_by_replacement(gateway: Target) -> None:
    """PUT, LOCK, DELETE, PUT, LOCK: the lock ends with the file that it was on."""
    office = Replay(gateway, {"User_Agent": _OFFICE})
    office.ask(201, "PUT", "letter.docx", b"first")
    token = office.lock("letter.docx", 200, "<D:href>ana</D:href>", Timeout="Second-3600")
    office.ask(204, "DELETE", "letter.docx", If=token)
    office.ask(201, "PUT", "letter.docx", b"second")
    again = office.lock("letter.docx", 200, "<D:href>ana</D:href>", Timeout="Second-3600")
    assert again != token
    office.ask(204, "UNLOCK", "letter.docx", Lock_Token=again[1:-1])


def test_replayed_office_owner_file(gateway: Target) -> None:
    """The hidden file beside an open document, and a save by temporary name and MOVE."""
    mkcol(gateway, "Shared-Documents")
    office = Replay(gateway.beneath("Shared-Documents"), {"User_Agent": _OFFICE})
    office.ask(201, "PUT", "letter.docx", b"draft")
    office.ask(201, "PUT", "~%24letter.docx", b"\x03ana" + bytes(158))
    office.ask(201, "PUT", "~WRD0001.tmp", b"second")
    destination = {"Destination": url(office.target, "letter.docx"), "Overwrite": "T"}
    office.ask(204, "MOVE", "~WRD0001.tmp", None, **destination)
    office.ask(204, "DELETE", "~%24letter.docx")
    assert members(office.target) == {"letter.docx"}
    assert office.ask(200, "GET", "letter.docx").body == b"second"

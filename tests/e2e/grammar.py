"""What hostile clients say: requests made of likely parts, mutated parts and plain noise."""

from typing import NamedTuple

from hypothesis import strategies as st

PASSWORD = "hunter2-secret"
FOREIGN = f"http://user:{PASSWORD}@foreign.example"


class Framed(NamedTuple):
    """A request as bytes. `lawful` says that its framing is, so the connection may go on."""

    method: str
    data: bytes
    lawful: bool
    foreign: bool


METHODS = st.sampled_from(
    [
        *("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND", "PROPPATCH", "MKCOL", "COPY"),
        *("MOVE", "LOCK", "UNLOCK", "PATCH", "PUT", "PROPFIND", "LOCK", "MOVE", "COPY", "GET"),
        *("PUT", "PROPFIND", "LOCK", "MOVE", "COPY", "GET", "MKCOL", "PROPPATCH", "DELETE", "PUT"),
        *("POST", "REPORT", "TRACE", "CONNECT", "BREW", "PRI"),
    ]
)
_NOISE = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30)
_RAW = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30)
_GOOD = st.sampled_from(["a", "b", "d", "d/e", "d/e/f", "b.txt", "a.html", "%C3%A4", "a%20b"])
_ODD = st.sampled_from(
    [
        *("%23", "%25", "a%2Fb", "%2e%2e", "..", "../outside", "..%5coutside", "%7f", "%ff", "%e2"),
        *("%0d%0aX-Injected:%20y", "%0a", "%00", "%ed%a0%80", "%zz", "%", "~", ".", "a;b", "link"),
        *("a&b<c>", "%22", "'", "x" * 255, "x" * 256, "x/" * 300, "x" * 9000, "y" * 17000, "con"),
        *(".headgate", ".headgate-ready", "", "/", "//", "\xe4", "%F0%9F%98%80", "b.txt?query"),
        *("d?x=%", "*", "#", "link/sentinel", "../../etc/passwd", "%252e%252e"),
    ]
)
_MOUNTS = st.sampled_from(["memory", "local", "memory", "local", "local", "memory", "nowhere", ""])


@st.composite
def paths(draw: st.DrawFn) -> str:
    """Return the path of a request or a Destination, well formed or not."""
    names = draw(st.sampled_from([_GOOD] * 6 + [_ODD] * 2 + [_NOISE, st.just("")]))
    return f"/{draw(_MOUNTS)}/{draw(names)}"


_TAGS = st.sampled_from(['"a"', 'W/"a"', "*", "a", '"', '"a", "b"', '""', "ETAG"])
_TOKENS = st.sampled_from(["LOCKTOKEN", "opaquelocktoken:a", "urn:uuid:x", "DAV:no-lock", "", "<"])
_NUMBERS = st.one_of(
    st.integers(-2, 50).map(str),
    st.sampled_from(["", "99999999999999999999999", "1e3", "0x1", " 1", "1_0", "\xb2", "infinity"]),
)
_SPANS = st.one_of(
    st.integers(0, 50).map("{}-".format),
    st.builds("{}-{}".format, _NUMBERS, _NUMBERS),
    st.builds("-{}".format, _NUMBERS),
    _NOISE,
)
_RANGES = st.builds(
    "{}{}".format,
    st.sampled_from(["bytes=", "bytes=", "bytes ", "lines=", ""]),
    st.lists(_SPANS, max_size=40).map(",".join),
)
_CONDITIONS = st.lists(
    st.one_of(
        st.builds("<{}>".format, _TOKENS),
        st.builds("Not <{}>".format, _TOKENS),
        st.builds("[{}]".format, _TAGS),
        _NOISE,
    ),
    max_size=4,
).map(" ".join)
_IFS = st.lists(
    st.one_of(
        st.builds("({})".format, _CONDITIONS),
        st.builds("<{}> ({})".format, paths(), _CONDITIONS),
        st.builds("<OWN{}> ({})".format, paths(), _CONDITIONS),
        _NOISE,
    ),
    max_size=4,
).map(" ".join)
_DATES = st.sampled_from(
    [
        *("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "0", "now", ""),
        *(
            "Sun Nov  6 08:49:37 1994",
            "Sun, 99 Nov 1994 99:49:37 GMT",
            "Fri, 31 Dec 9999 23:59:60 GMT",
        ),
    ]
)
_DIGESTS = st.sampled_from(
    [
        *("md5=XUFAKrxLKna5cZ2REBfFkg==", "md5=x", "adler32=062c0215", "sha-256=:x:", "md5", "="),
        *("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", "SHA1:x", "ADLER32:1", "*;q=x"),
        *("adler32", "md5;q=0.5, sha-256;q=2", "sha-256=10, md5=0", "ETAG"),
    ]
)
_TYPES = st.sampled_from(
    [
        *("application/xml", "text/xml; charset=utf-16", "application/x-sabredav-partialupdate"),
        *("text/plain", "x", "", "application/json", "text/xml; charset=nonsense"),
    ]
)
_DESTINATIONS = st.one_of(
    paths(),
    paths().map("OWN{}".format),
    paths().map("OWN{}".format),
    paths().map(f"http://user:{PASSWORD}@HOST{{}}".format),
    paths().map(f"{FOREIGN}{{}}".format),
    _NOISE,
)
_FIELDS: dict[str, st.SearchStrategy[str]] = {
    "Depth": st.sampled_from(["0", "0", "0", "1", "1", "infinity", "2", "-1", "", "1,noroot"]),
    "Overwrite": st.sampled_from(["T", "F", "t", "x", ""]),
    "Destination": _DESTINATIONS,
    "If": _IFS,
    "If-Match": _TAGS,
    "If-None-Match": _TAGS,
    "If-Modified-Since": _DATES,
    "If-Unmodified-Since": _DATES,
    "If-Range": st.one_of(_TAGS, _DATES),
    "Range": _RANGES,
    "Content-Range": st.builds("bytes {}/{}".format, _SPANS, _NUMBERS),
    "X-Update-Range": st.one_of(_RANGES, st.sampled_from(["append", "bytes=0-"])),
    "Content-Type": _TYPES,
    "Content-Encoding": st.sampled_from(["gzip", "identity", "", "x"]),
    "Timeout": st.one_of(st.sampled_from(["Infinite", "Second-5", "Second-x", "a, b"]), _NOISE),
    "Lock-Token": st.one_of(st.builds("<{}>".format, _TOKENS), _NOISE),
    "Content-MD5": _DIGESTS,
    "Digest": _DIGESTS,
    "Repr-Digest": _DIGESTS,
    "Want-Digest": _DIGESTS,
    "Want-Repr-Digest": _DIGESTS,
    "OC-Checksum": _DIGESTS,
    "X-OC-Mtime": _NUMBERS,
    "Accept": st.sampled_from(["application/json", "text/html;q=0.1", "*/*;q=x", "", "a/b;;q=2"]),
    "Accept-Encoding": st.sampled_from(["gzip", "zstd", "gzip;q=x", "*;q=0", "identity;q=0", ","]),
    "Authorization": st.just(f"Basic {PASSWORD}"),
    "Expect": st.sampled_from(["100-continue", "100-Continue", "tea"]),
    "Connection": st.sampled_from(["keep-alive", "close", "upgrade", "te, close"]),
    "Upgrade": st.just("h2c"),
    "X-Forwarded-Host": _NOISE,
    "X-Server-Timing": st.just("1"),
    "X-Noise": _RAW,
}


_FITTING = {
    "GET": ["Range", "If-Range", "If-None-Match", "If-Modified-Since", "Accept", "Want-Digest"],
    "PUT": ["If-Match", "If", "Digest", "Content-MD5", "X-OC-Mtime", "Content-Range", "Expect"],
    "PROPFIND": ["Depth"],
    "COPY": ["Destination", "Destination", "Overwrite", "Depth"],
    "MOVE": ["Destination", "Destination", "Overwrite", "Overwrite"],
    "LOCK": ["If", "Depth", "Timeout", "Timeout"],
    "UNLOCK": ["Lock-Token"],
    "PATCH": ["X-Update-Range", "Content-Type"],
}


@st.composite
def fields(draw: st.DrawFn, method: str) -> dict[str, str]:
    """Return some headers, most of them fit for the method, with values that they could have."""
    names = set(
        draw(st.lists(st.sampled_from(_FITTING.get(method, ["If-None-Match"])), max_size=3))
    )
    if draw(st.integers(0, 3)) == 0:
        names |= set(draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=3)))
    if method in {"COPY", "MOVE"} and draw(st.integers(0, 9)):
        names.add("Destination")
    if method == "PROPFIND" and draw(st.integers(0, 9)):
        names.add("Depth")
    return {name: draw(_FIELDS[name]) for name in sorted(names)}


_DEEP = "<x>" * 400 + "</x>" * 400
_BOMB = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'
_OUTSIDE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
_PROPERTY = st.sampled_from(
    [
        *("<D:getetag/>", "<D:resourcetype/>", "<D:displayname>x</D:displayname>", "<y/>", "text"),
        *("<D:getlastmodified>x</D:getlastmodified>", "<z xmlns='urn:z'>v<w/></z>", "&#x1F600;"),
        *("<D:lockdiscovery/>", "<D:quota-used-bytes/>", "<!--c-->", "<![CDATA[x]]>"),
        "<D:resourcetype><D:collection/></D:resourcetype>",
        "<D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>",
        "<Win32LastModifiedTime xmlns='urn:schemas-microsoft-com:'>x</Win32LastModifiedTime>",
    ]
)
_BROKEN = st.sampled_from(["&#0;", "\x0b", "</D:prop>", "<a:b/>", "&x;", f"<deep>{_DEEP}</deep>"])
_PROPERTIES = st.builds(
    "{}{}".format,
    st.lists(_PROPERTY, max_size=4).map("".join),
    st.sampled_from([st.just("")] * 9 + [_BROKEN]).flatmap(lambda chosen: chosen),
)
_DOCUMENTS = {
    "PROPFIND": st.builds(
        '<?xml version="1.0"?><D:propfind xmlns:D="DAV:">{}</D:propfind>'.format,
        st.one_of(
            st.sampled_from(["<D:allprop/>", "<D:propname/>", "", "<D:allprop/><D:include/>"]),
            _PROPERTIES.map("<D:prop>{}</D:prop>".format),
        ),
    ),
    "PROPPATCH": st.builds(
        '<D:propertyupdate xmlns:D="DAV:">{}</D:propertyupdate>'.format,
        st.lists(
            st.builds(
                "<D:{0}><D:prop>{1}</D:prop></D:{0}>".format,
                st.sampled_from(["set", "remove", "set", "other"]),
                _PROPERTIES,
            ),
            max_size=3,
        ).map("".join),
    ),
    "MKCOL": st.builds(
        '<D:mkcol xmlns:D="DAV:"><D:set><D:prop>{}</D:prop></D:set></D:mkcol>'.format, _PROPERTIES
    ),
    "LOCK": st.builds(
        '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:{}/></D:lockscope>'
        "<D:locktype><D:{}/></D:locktype><D:owner>{}</D:owner></D:lockinfo>".format,
        st.sampled_from(["exclusive", "shared", "shared", "exclusive", "other"]),
        st.sampled_from(["write", "write", "write", "read"]),
        _PROPERTIES,
    ),
}
_ODD_DOCUMENTS = st.one_of(
    *_DOCUMENTS.values(),
    st.sampled_from([_DEEP, _BOMB, _OUTSIDE, "<a>", "", "<a xmlns=''/>", "<a:b/>", "\ufeff<a/>"]),
)
_ODD_BODIES = st.one_of(
    st.builds(str.encode, _ODD_DOCUMENTS, st.sampled_from(["utf-16", "utf-8", "utf-32"])),
    st.binary(max_size=40),
    st.integers(1000, 70_000).map(lambda size: b"x" * size),
)


def _bodies(method: str) -> st.SearchStrategy[bytes]:
    """Return bodies of which most are fit for the method."""
    if method in _DOCUMENTS:
        fit = _DOCUMENTS[method].map(str.encode)
        return st.one_of(fit, fit, fit, st.just(b""), _ODD_BODIES)
    if method in {"PUT", "PATCH"}:
        return st.one_of(st.binary(max_size=40), _ODD_BODIES)
    return st.one_of(st.just(b""), st.just(b""), st.just(b""), _ODD_BODIES)


def _start(method: str, target: str, lines: dict[str, str], own: str) -> bytes:
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    text = f"{method} {target} HTTP/1.1\r\nHost: {own}\r\n{text}"
    return text.replace("OWN", f"http://{own}").replace("HOST", own).encode("latin-1")


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str], bytes, str]:
    """Return method, target, headers, body and framing of a request; `framed` makes it bytes."""
    method = draw(METHODS)
    form = draw(st.sampled_from([""] * 24 + ["OWN", f"http://u:{PASSWORD}@HOST", "x"]))
    framing = draw(
        st.sampled_from(["length"] * 16 + ["chunked", "chunked", "none", "short", "cut", "both"])
    )
    return method, form + draw(paths()), draw(fields(method)), draw(_bodies(method)), framing


def framed(
    request: tuple[str, str, dict[str, str], bytes, str], own: str, token: str = ""
) -> Framed:
    """Return a request as bytes for the server `own`, host and port; `token` is of some lock."""
    method, target, lines, body, framing = request
    data = _start(method, target, lines, own).replace(b"LOCKTOKEN", token.strip("<>").encode())
    chunks = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    match framing:
        case "length":
            data += b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        case "chunked":
            data += b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        case "none":
            data += b"\r\n" + body
        case "short":
            data += b"Content-Length: %d\r\n\r\n%b" % (len(body) + 1, body)
        case "cut":
            data += b"Transfer-Encoding: chunked\r\n\r\n" + chunks
        case "both":
            data += b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + chunks
    lawful = framing in {"length", "chunked"}
    return Framed(method, data, lawful, "foreign.example" in lines.get("Destination", ""))


NOISE = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda request, cut, noise: _spliced(framed(request, "h").data, cut, noise),
        requests(),
        st.integers(0, 400),
        st.binary(max_size=8),
    ),
)


def _spliced(data: bytes, cut: int, noise: bytes) -> bytes:
    return data[:cut] + noise + data[cut:]

"""A name is kept as it is or refused with a reason; no name is an accident."""

from urllib.parse import quote

from tests.e2e.faults.catalogue import Catalogue
from tests.e2e.wire import Answer, ask, done, expect, members, mkcol, put, url
from tests.servers.target import Target

CHECKS = Catalogue()

_LONG = {"ascii": "n" * 255, "utf-8": "é" * 127 + "n"}


@CHECKS.check(*_LONG)
def name_of_255_bytes_is_kept(target: Target, kind: str) -> None:
    name = _LONG[kind]
    put(target, quote(name), b"x")
    expect(members(target) == {name}, "the name is not in the listing")
    expect(ask(target, "GET", quote(name)).body == b"x", "the file is not there")


_TOO_LONG = dict.fromkeys(("PUT", "MKCOL", "COPY", "MOVE"), "is answered 5")


@CHECKS.check("PUT", "MKCOL", "LOCK", "COPY", "MOVE", "GET", "PROPFIND", plain=_TOO_LONG)
def name_of_256_bytes_is_refused(target: Target, method: str) -> None:
    put(target, "f", b"x")
    long = "n" * 256
    if method in {"COPY", "MOVE"}:
        answer = ask(target, method, "f", Destination=url(target, long))
    else:
        answer = ask(target, method, long)
    expect(answer.refused, f"{method} with 256 bytes is answered {answer.status}")
    expect(members(target) == {"f"}, "a part of the name is there")


_NAMES = (
    "a b",
    "Grüße.txt",
    "#1",
    "what?",
    "100%",
    "50%25",
    "a;b=c",
    "a+b",
    "~",
    "'\"",
    "[x]",
    "…",
)


@CHECKS.check(*_NAMES, plain=dict.fromkeys(("what?", "a;b=c"), "the listing shows"))
def odd_name_makes_the_round_trip(target: Target, name: str) -> None:
    put(target, quote(name), name.encode())
    expect(members(target) == {name}, f"the listing shows {members(target)}")
    expect(ask(target, "GET", quote(name)).body == name.encode(), "the file is not there")
    answer = ask(target, "MOVE", quote(name), Destination=url(target, quote(name + "2")))
    expect(answer.status == 201, f"MOVE is answered {answer.status}")
    expect(members(target) == {name + "2"}, f"the listing shows {members(target)}")


_HOSTILE = {
    "encoded-slash": "a%2Fb",
    "encoded-slash-lower": "a%2fb",
    "encoded-nul": "a%00b",
    "not-utf-8": "a%FFb",
    "surrogate": "a%ED%A0%80b",
    "encoded-dots": "%2e%2e/escape",
    "dots": "../../../escape",
    "dots-in-segment": "x/..%2f..%2fescape",
    "half-escape": "a%4",
}


_PLAIN = {
    "encoded-slash": "is answered 201",
    "encoded-slash-lower": "is answered 201",
    "encoded-nul": "is answered 500",
    "not-utf-8": "no whole answer",
    "surrogate": "no whole answer",
    "encoded-dots": "is answered 201",
    "dots": "no whole answer",
    "dots-in-segment": "is answered 201",
    "half-escape": "is answered 201",
}


@CHECKS.check(*_HOSTILE, plain=_PLAIN)
def hostile_name_is_refused(target: Target, kind: str) -> None:
    """Nothing is made, nothing outside is touched, and the fault is never the server's."""
    inner = mkcol(target, "inner")
    name = _HOSTILE[kind]
    answer = ask(inner, "PUT", name, b"hostile")
    expect(answer.refused, f"PUT of {name} is answered {answer.status}")
    _unharmed(target, answer)
    put(target, "f", b"x")
    answer = ask(target, "COPY", "f", Destination=url(inner, name))
    expect(answer.refused or answer.status == 502, f"COPY to {name} is answered {answer.status}")
    expect(ask(target, "DELETE", "f").ok, "the source is gone")
    _unharmed(target, answer)


def _unharmed(target: Target, answer: Answer) -> None:
    expect(members(target) == {"inner"}, f"a file escaped: {members(target)}")
    expect(members(target, "inner/") == set(), f"there is {members(target, 'inner/')}")
    expect(b"Traceback" not in answer.body, "a traceback goes to the client")


@CHECKS.check()
def folder_and_file_of_one_name_do_not_mix(target: Target) -> None:
    put(target, "f", b"x")
    expect(ask(target, "MKCOL", "f").status == 405, "MKCOL on a file is not 405")
    expect(ask(target, "PUT", "f/g", b"x").refused, "PUT beneath a file is let in")
    expect(ask(target, "MKCOL", "none/g").status == 409, "MKCOL without a parent is not 409")
    mkcol(target, "d")
    expect(ask(target, "PUT", "d", b"x").refused, "PUT on a folder is let in")
    done(ask(target, "PROPFIND", "d/", Depth="0"), "PROPFIND")

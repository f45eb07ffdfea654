"""An ETag changes with the bytes, is strong, and is the same wherever it stands."""

import re

from tests.e2e.faults.catalogue import Catalogue
from tests.e2e.wire import DAV, ask, expect, keep, prop, put, send
from tests.servers.target import Target

CHECKS = Catalogue()


@CHECKS.check(plain="distinct ETags")
def hundred_rewrites_give_hundred_etags(target: Target) -> None:
    """All have one size, and they follow each other on one connection within about a second."""
    etags = []
    with keep(target) as connection:
        for number in range(100):
            answer = send(connection, target, "PUT", "f", b"%04d" % number)
            expect(answer.ok, f"PUT is answered {answer.status}")
            etag = answer.header("ETag")
            etags.append(etag or send(connection, target, "HEAD", "f").header("ETag"))
    count = len(set(etags))
    expect(count == 100, f"100 contents have {count} distinct ETags")


@CHECKS.check("PUT", "DELETE", "PROPPATCH", "MOVE", plain="old ETag")
def old_etag_no_longer_matches(target: Target, method: str) -> None:
    """Lost updates end here: If-Match with the ETag of the bytes before is 412."""
    put(target, "f", b"0001")
    old = ask(target, "HEAD", "f").header("ETag")
    put(target, "f", b"0002")
    headers = {"Destination": f"{target.url}g"} if method == "MOVE" else {}
    body = b"0003" if method == "PUT" else None
    status = ask(target, method, "f", body, If_Match=old, **headers).status
    expect(status == 412, f"{method} with the old ETag is answered {status}")
    expect(ask(target, "GET", "f").body == b"0002", "the file has changed")


@CHECKS.check(plain="304")
def changed_bytes_are_not_called_unchanged(target: Target) -> None:
    put(target, "f", b"0001")
    old = ask(target, "HEAD", "f").header("ETag")
    put(target, "f", b"0002")
    answer = ask(target, "GET", "f", If_None_Match=old)
    expect(answer.status == 200, f"GET of changed bytes is answered {answer.status}")
    again = ask(target, "GET", "f", If_None_Match=answer.header("ETag"))
    expect(again.status == 304, f"GET of unchanged bytes is answered {again.status}")


@CHECKS.check(plain="getetag")
def getetag_is_the_header(target: Target) -> None:
    put(target, "f", b"bytes")
    etag = ask(target, "HEAD", "f").header("ETag")
    expect(re.fullmatch(r'"[!#-~]+"', etag), f"the ETag {etag} is not strong and quoted")
    element = prop(target, "f", DAV + "getetag")
    text = None if element is None else element.text
    expect(text == etag, f"getetag is {text} and the header is {etag}")


@CHECKS.check()
def head_answers_as_get(target: Target) -> None:
    put(target, "f", b"bytes")
    get, head = ask(target, "GET", "f"), ask(target, "HEAD", "f")
    for name in ("ETag", "Content-Length", "Content-Type", "Last-Modified", "Accept-Ranges"):
        expect(get.header(name) == head.header(name), f"HEAD and GET differ in {name}")
    expect(head.body == b"", "HEAD has a body")


@CHECKS.check(plain="If-Match: * on nothing")
def create_only_upload_does_not_overwrite(target: Target) -> None:
    expect(ask(target, "PUT", "f", b"1", If_None_Match="*").status == 201, "PUT is refused")
    status = ask(target, "PUT", "f", b"2", If_None_Match="*").status
    expect(status == 412, f"If-None-Match: * on a file is answered {status}")
    status = ask(target, "PUT", "none", b"2", If_Match="*").status
    expect(status == 412, f"If-Match: * on nothing is answered {status}")
    expect(ask(target, "GET", "f").body == b"1", "the file has changed")

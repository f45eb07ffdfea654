"""PROPFIND, PROPPATCH, OPTIONS and MKCOL say what is so, within bounds."""

import time
import xml.etree.ElementTree as ET

from tests.e2e.faults.catalogue import Catalogue
from tests.e2e.wire import DAV, ask, expect, mkcol, prop, put, set_property
from tests.servers.target import Target

CHECKS = Catalogue()

_XML = {"Content_Type": "application/xml"}
_TAG = "{urn:test}colour"


@CHECKS.check("infinity", "none", plain="is answered 207")
def endless_listing_is_refused(target: Target, depth: str) -> None:
    """On a folder, with the reason in the body; on a file it is as good as Depth: 0."""
    mkcol(target, "d")
    put(target, "f", b"x")
    headers = {} if depth == "none" else {"Depth": depth}
    answer = ask(target, "PROPFIND", "d/", None, **headers)
    expect(answer.status == 403, f"PROPFIND without end is answered {answer.status}")
    expect(
        ET.fromstring(answer.body).find(DAV + "propfind-finite-depth") is not None,
        f"the reason is not in {answer.body[:200]!r}",
    )
    answer = ask(target, "PROPFIND", "f", None, **headers)
    expect(answer.status == 207, f"PROPFIND of a file is answered {answer.status}")


@CHECKS.check(
    "0", "1", "infinity", "none", plain={"1": "is answered 400", "infinity": "is answered 400"}
)
def proppatch_knows_no_depth(target: Target, depth: str) -> None:
    put(target, "f", b"x")
    headers = {} if depth == "none" else {"Depth": depth}
    answer = set_property(target, "f", _TAG, "red", **headers)
    expect(answer.status == 207, f"PROPPATCH with Depth {depth} is answered {answer.status}")
    element = prop(target, "f", _TAG)
    expect(element is not None and element.text == "red", "the property is not kept")


@CHECKS.check("COPY", "MOVE")
def dead_properties_follow_their_file(target: Target, method: str) -> None:
    put(target, "f", b"x")
    set_property(target, "f", _TAG, "red")
    answer = ask(target, method, "f", Destination=f"{target.url}g")
    expect(answer.status == 201, f"{method} is answered {answer.status}")
    element = prop(target, "g", _TAG)
    expect(element is not None and element.text == "red", "the property is not at the new name")
    ask(target, "DELETE", "g")
    put(target, "g", b"x")
    expect(prop(target, "g", _TAG) is None, "a deleted file's property is on the next one")


@CHECKS.check(plain="getlastmodified is")
def time_is_set_by_proppatch(target: Target) -> None:
    put(target, "f", b"x")
    when = "Fri, 02 Nov 2018 10:00:00 GMT"
    set_property(target, "f", DAV + "getlastmodified", when)
    element = prop(target, "f", DAV + "getlastmodified")
    text = None if element is None else element.text
    expect(text == when, f"getlastmodified is {text}, not {when}")


@CHECKS.check()
def proppatch_is_all_or_nothing(target: Target) -> None:
    put(target, "f", b"x")
    body = (
        b'<D:propertyupdate xmlns:D="DAV:" xmlns:t="urn:test"><D:set><D:prop><t:colour>red'
        b"</t:colour><D:getetag>forged</D:getetag></D:prop></D:set></D:propertyupdate>"
    )
    answer = ask(target, "PROPPATCH", "f", body, **_XML)
    expect(b"424" in answer.body, f"no 424 in {answer.body!r}")
    expect(prop(target, "f", _TAG) is None, "half of a PROPPATCH is done")


@CHECKS.check(plain="does not know")
def folder_is_made_with_properties(target: Target) -> None:
    """Extended MKCOL: all properties are set or no folder is made."""
    body = (
        b'<D:mkcol xmlns:D="DAV:" xmlns:t="urn:test"><D:set><D:prop><D:resourcetype>'
        b"<D:collection/></D:resourcetype>%s<t:colour>red</t:colour></D:prop></D:set></D:mkcol>"
    )
    options = ask(target, "OPTIONS").header("DAV")
    expect("extended-mkcol" in options, f"the server does not know extended-mkcol: {options}")
    answer = ask(target, "MKCOL", "d", body % b"", **_XML)
    expect(answer.status == 201, f"extended MKCOL is answered {answer.status}")
    element = prop(target, "d/", _TAG)
    expect(element is not None and element.text == "red", "the property is not there")
    answer = ask(target, "MKCOL", "e", body % b"<D:getetag>forged</D:getetag>", **_XML)
    expect(answer.refused, f"a forbidden property is answered {answer.status}")
    expect(ask(target, "PROPFIND", "e", Depth="0").status == 404, "half of a MKCOL is done")


@CHECKS.check()
def options_tell_what_works(target: Target) -> None:
    answer = ask(target, "OPTIONS")
    expect(answer.status in {200, 204}, f"OPTIONS is answered {answer.status}")
    classes = {item.strip() for item in answer.header("DAV").split(",")}
    expect({"1", "2"} <= classes, f"DAV is {answer.header('DAV')}")
    expect(answer.header("MS-Author-Via") == "DAV", "there is no MS-Author-Via: DAV")
    allowed = answer.header("Allow")
    for method in ("PROPFIND", "PROPPATCH", "LOCK", "UNLOCK"):
        expect(method in allowed, f"Allow does not name {method}: {allowed}")


@CHECKS.check(plain="class 3")
def class_3_is_told(target: Target) -> None:
    classes = {item.strip() for item in ask(target, "OPTIONS").header("DAV").split(",")}
    expect("3" in classes, "class 3 is not in the DAV header")


_BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
_HOSTILE = {
    "entities": f'<!DOCTYPE x [<!ENTITY e0 "lol">{_BOMB}]><D:propfind xmlns:D="DAV:"><D:prop>'
    "<x>&e9;</x></D:prop></D:propfind>",
    "outside": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x>&e;</x></D:prop></D:set>'
    "</D:propertyupdate>",
    "deep": '<D:propfind xmlns:D="DAV:">' + "<x>" * 100_000 + "</x>" * 100_000 + "</D:propfind>",
    "cut": '<D:propfind xmlns:D="DAV:"><D:prop>',
    "no-xml": "propfind",
    "other-root": '<D:lockinfo xmlns:D="DAV:"/>',
    "wide": '<D:propfind xmlns:D="DAV:"><D:prop>' + "<x/>" * 3_000_000 + "</D:prop></D:propfind>",
}


@CHECKS.check(*_HOSTILE, plain={"deep": "answered 207"})
def hostile_xml_is_refused(target: Target, kind: str) -> None:
    put(target, "f", b"x")
    method = "PROPPATCH" if kind == "outside" else "PROPFIND"
    begin = time.monotonic()
    answer = ask(target, method, "f", _HOSTILE[kind].encode(), Depth="0", **_XML)
    expect(answer.refused, f"it is answered {answer.status}")
    expect(b"Traceback" not in answer.body, "a traceback goes to the client")
    expect(b"root:" not in answer.body, "a file of the server is in the answer")
    expect(time.monotonic() - begin < 3, "it takes more than three seconds")


@CHECKS.check(plain="current-user-principal")
def current_user_is_told(target: Target) -> None:
    for name in ("current-user-principal", "current-user-privilege-set"):
        expect(prop(target, "", DAV + name) is not None, f"there is no {name}")

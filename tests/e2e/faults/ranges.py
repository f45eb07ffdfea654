"""A range request gets what it asks for, or the whole, never something else."""

import email
import email.policy

from tests.e2e.faults.catalogue import Catalogue
from tests.e2e.wire import ask, expect, put
from tests.servers.target import Target

CHECKS = Catalogue()

_BODY = b"0123456789"


@CHECKS.check(plain="multipart")
def several_ranges_come_as_parts(target: Target) -> None:
    put(target, "f", _BODY)
    answer = ask(target, "GET", "f", Range="bytes=0-0,5-6,-1")
    expect(answer.status == 206, f"several ranges are answered {answer.status}")
    kind = answer.header("Content-Type")
    expect(kind.startswith("multipart/byteranges"), f"instead of multipart came {kind}")
    expect(answer.header("Content-Range") == "", "a multipart answer has a Content-Range")
    message = email.message_from_bytes(
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + answer.body, policy=email.policy.HTTP
    )
    parts = [(part["Content-Range"], part.get_payload(decode=True)) for part in message.walk()][1:]
    wanted = [("bytes 0-0/10", b"0"), ("bytes 5-6/10", b"56"), ("bytes 9-9/10", b"9")]
    expect(parts == wanted, f"the parts are {parts}")


@CHECKS.check(
    "7-2",
    "x-y",
    "-",
    "0x1-2",
    "1 - 2-",
    plain=dict.fromkeys(("7-2", "0x1-2", "1 - 2-"), "is answered 206"),
)
def range_that_is_none_is_ignored(target: Target, spelled: str) -> None:
    put(target, "f", _BODY)
    answer = ask(target, "GET", "f", Range=f"bytes={spelled}")
    expect(answer.status in {200, 416}, f"bytes={spelled} is answered {answer.status}")
    if spelled == "7-2":
        expect(answer.status == 200, f"a reversed range is answered {answer.status}")
    if answer.status == 200:
        expect(answer.body == _BODY, "the whole is not the whole")


@CHECKS.check("10-", "10-12", "-0", plain={"-0": "is answered 206"})
def range_beyond_the_end_is_416(target: Target, spelled: str) -> None:
    put(target, "f", _BODY)
    answer = ask(target, "GET", "f", Range=f"bytes={spelled}")
    expect(answer.status == 416, f"bytes={spelled} is answered {answer.status}")
    expect(answer.header("Content-Range") == "bytes */10", "Content-Range does not tell the size")


@CHECKS.check("2-4", "-3", "8-", "8-100", "-100", "0-0")
def single_range_is_exact(target: Target, spelled: str) -> None:
    put(target, "f", _BODY)
    answer = ask(target, "GET", "f", Range=f"bytes={spelled}")
    first, _, last = spelled.partition("-")
    start = int(first) if first else max(0, 10 - int(last))
    end = min(10, int(last) + 1) if first and last else 10
    expect((answer.status, answer.body) == (206, _BODY[start:end]), f"{answer}")
    wanted = f"bytes {start}-{end - 1}/10"
    expect(answer.header("Content-Range") == wanted, f"not {wanted} but {answer.headers}")


@CHECKS.check()
def range_of_another_version_is_the_whole(target: Target) -> None:
    put(target, "f", _BODY)
    etag = ask(target, "HEAD", "f").header("ETag")
    same = ask(target, "GET", "f", Range="bytes=2-3", If_Range=etag)
    expect((same.status, same.body) == (206, b"23"), "If-Range with the ETag gives no range")
    other = ask(target, "GET", "f", Range="bytes=2-3", If_Range='"other"')
    expect((other.status, other.body) == (200, _BODY), "If-Range with another ETag gives a range")


@CHECKS.check()
def thousand_ranges_cost_no_more_than_the_file(target: Target) -> None:
    """Many overlapping ranges must not multiply what is sent."""
    body = bytes(100_000)
    put(target, "f", body)
    answer = ask(target, "GET", "f", Range="bytes=" + ",".join(["0-"] * 1000))
    expect(answer.status in {200, 206, 400, 416, 431}, f"{answer.status}")
    expect(len(answer.body) <= 2 * len(body), f"{len(answer.body)} bytes are sent")

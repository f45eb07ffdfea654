"""Secrets that tests make up, and the search for them where none may be.

A test logs in with what `plant` gives. Every log record, whatever its level, everything printed,
every answer that the tests read, and every log and audit file of the run is searched for it, in
clear, percent-encoded, in hex and in base64 at any offset. `add` does the same for a secret
that the gateway made.
"""

import base64
import logging
import os
import re
import secrets
from pathlib import Path
from urllib.parse import quote_from_bytes

PREFIX = "Zq7planted"

_LOGS = re.compile(r"(^|\.)(log|jsonl|stdout|stderr)$")


class Leaked(AssertionError):
    """A secret stands where none may be. The message shows the place, not the secret."""


def plant() -> str:
    """Return a secret that is found by its beginning, in this process and in any other."""
    return PREFIX + secrets.token_hex(12)


def _spellings(secret: str) -> tuple[set[bytes], set[bytes]]:
    """Return how a log might spell `secret`: in any case of letters, and in just this one."""
    data = secret.encode()
    percent = b"".join(b"%%%02x" % byte for byte in data)
    folded = {data.lower(), data.hex().encode(), percent}
    folded.add(quote_from_bytes(data, safe="").lower().encode())
    exact = set()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + data)
        # The first and the last digit also depend on what stands before and behind.
        core = encoded[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]
        exact |= {core, core.translate(bytes.maketrans(b"+/", b"-_"))}
    return folded, exact


_folded, _exact = _spellings(PREFIX)


def add(secret: str) -> str:
    """Search for `secret` from now on, in this process, and return it."""
    if len(secret) < 12:
        raise ValueError("so short a secret would be found everywhere")
    folded, exact = _spellings(secret)
    _folded.update(folded)
    _exact.update(exact)
    return secret


def leaks(data: bytes | str) -> bool:
    """Tell whether a secret stands in `data`."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    lower = raw.lower()
    return any(form in lower for form in _folded) or any(form in raw for form in _exact)


def check(data: bytes | str, where: str) -> None:
    """Raise Leaked when a secret stands in `data`."""
    if leaks(data):
        raise Leaked(f"a secret stands in {where}")


def check_file(file: Path) -> None:
    """Raise Leaked when a secret stands in a file, if there is one."""
    if file.is_file():
        check(file.read_bytes(), str(file))


def check_logs(folder: Path) -> None:
    """Raise Leaked when a secret stands in a log or audit file beneath `folder`."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if _LOGS.search(name):
                check_file(Path(parent, name))


class LeakLog(logging.Handler):
    """Finds records that hold a secret. The handler's own lock guards `found`."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Search the text of the record, its exception and what else was handed over with it."""
        if leaks(self.format(record)) or leaks(repr(vars(record))):
            self.found.append(f"{record.name} ({record.levelname}, {record.filename})")

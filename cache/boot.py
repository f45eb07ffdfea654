"""The boot tag: a number that all processes share until the machine starts anew."""

import secrets
from hashlib import blake2b
from pathlib import Path


def boot_tag(boot: str | None = None) -> int:
    """Return the tag of this run of the machine, or of the run that `boot` names; never 0.

    Where the system does not tell, each call gives another one: then every process verifies what it
    did not write itself.
    """
    if boot is None:
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        except OSError:
            boot = secrets.token_hex(16)
    return int.from_bytes(blake2b(boot.encode(), digest_size=4).digest(), "big") | 1

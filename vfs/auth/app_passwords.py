"""App passwords: random secrets, each for one program or device of a user."""

import base64
import hashlib
import re
import secrets

# Tells people, and scanners of leaked secrets, what they have found.
_PREFIX = "hga_"
_RANDOM_BYTES = 20
_FORM = re.compile(rf"{_PREFIX}[a-z2-7]{{32}}")

LABEL_MAX_CHARACTERS = 64


def fresh() -> str:
    """Return a new secret: 160 random bits."""
    return _PREFIX + base64.b32encode(secrets.token_bytes(_RANDOM_BYTES)).decode().lower()


def is_one(text: str) -> bool:
    """Tell whether `text` has the form of an app password."""
    return _FORM.fullmatch(text) is not None


def digest(secret: str) -> bytes:
    """Return what is kept of a secret. A fast hash will do: nobody can try 160 bits."""
    return hashlib.sha256(secret.encode()).digest()


def check_label(text: str) -> str:
    """Return a label; ValueError, with the cause, if it cannot be one."""
    if not 0 < len(text) <= LABEL_MAX_CHARACTERS or not text.isprintable() or text != text.strip():
        raise ValueError(
            f"{text!r} cannot be a label: it has 1 to {LABEL_MAX_CHARACTERS} characters that can"
            " be shown, and no blank at its ends"
        )
    return text

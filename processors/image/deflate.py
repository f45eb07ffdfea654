"""Deflate: isal's, where it is installed, which is many times as quick as zlib's."""

from typing import Any

isal_zlib: Any
try:
    from isal import isal_zlib
except ImportError:  # there is no build of it for this machine
    isal_zlib = None

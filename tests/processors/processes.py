"""What processes print that have nothing in common but the machine."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

NOTHING: Mapping[str, str] = {}


def same_words(
    program: str,
    argument: Path,
    root: Path,
    environments: tuple[Mapping[str, str], Mapping[str, str]] = (NOTHING, NOTHING),
) -> list[bytes]:
    """Run a program twice, with other hashes each time; return the words that both print."""
    printed = {
        subprocess.run(
            [sys.executable, "-c", program, argument],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": str(seed), **environment},
            check=True,
            capture_output=True,
        ).stdout
        for seed, environment in enumerate(environments, 1)
    }
    assert len(printed) == 1
    return printed.pop().split()

"""A program that replaces one file on command, to race with others of its kind.

It reads a version, begins a writer that expects it, answers, waits for a line, and commits.
"""

import sys
from pathlib import Path

from providers.errors import Changed
from providers.local import LocalOptions, LocalProvider


def main() -> None:
    """Serve commands until standard input ends."""
    store = LocalProvider(LocalOptions(root=Path(sys.argv[1])))
    for line in sys.stdin:
        try:
            with store.create("file", expect=line.strip()) as writer:
                writer.write(sys.argv[2].encode())
                print("ready", flush=True)
                sys.stdin.readline()
                print(writer.commit().version, flush=True)
        except Changed:
            print("changed", flush=True)


if __name__ == "__main__":
    main()

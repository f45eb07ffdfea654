"""Drives one of the Python client libraries, in their own environment: JSON lines in and out.

It runs without this repository on its path, so it imports nothing of it.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

_URL = os.environ["DAV_URL"]
_USER = os.environ["DAV_USER"]
_PASSWORD = os.environ["DAV_PASSWORD"]


def _webdav4() -> dict[str, Callable[..., Any]]:
    from webdav4.client import Client

    client = Client(_URL, auth=(_USER, _PASSWORD) if _USER else None)
    return {
        "mkcol": client.mkdir,
        "put": client.upload_file,
        "names": lambda folder: [n.rpartition("/")[2] for n in client.ls(folder, detail=False)],
        "move": client.move,
        "get": client.download_file,
        "delete": client.remove,
    }


def _webdavclient3() -> dict[str, Callable[..., Any]]:
    from webdav3.client import Client

    # With the path in the host name it lists a folder as its own member.
    parts = urlsplit(_URL)
    options = {"webdav_hostname": f"{parts.scheme}://{parts.netloc}", "webdav_root": parts.path}
    if _USER:
        options |= {"webdav_login": _USER, "webdav_password": _PASSWORD}
    client = Client(options)
    if bundle := os.environ.get("REQUESTS_CA_BUNDLE"):
        client.verify = bundle
    return {
        "mkcol": client.mkdir,
        "put": lambda local, name: client.upload_sync(remote_path=name, local_path=local),
        "names": lambda folder: [name.rstrip("/") for name in client.list(folder)],
        "move": lambda source, to: client.move(remote_path_from=source, remote_path_to=to),
        "get": lambda name, local: client.download_sync(remote_path=name, local_path=local),
        "delete": client.clean,
        "set_property": lambda name, namespace, key, value: client.set_property(
            name, {"namespace": namespace, "name": key, "value": value}
        ),
    }


def main() -> None:
    """Answer each line until the input ends."""
    # webdavclient3 draws progress bars on standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    verbs = {"webdav4": _webdav4, "webdavclient3": _webdavclient3}[sys.argv[1]]()
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        try:
            names = verbs[verb](*arguments)
            answer: dict[str, Any] = {"names": names if isinstance(names, list) else []}
        except Exception as error:
            answer = {"error": f"{error!r} {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

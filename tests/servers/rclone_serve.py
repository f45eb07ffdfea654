"""`rclone serve webdav` over one folder: a foreign server that tells our fault from a client's."""

from pathlib import Path

from tests.servers.daemon import Daemon, free_port, main
from tests.servers.programs import find
from tests.servers.target import Target


def launch(directory: Path) -> Daemon:
    """Start rclone over `directory`/files."""
    root = directory / "files"
    root.mkdir(exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    argv = (
        find("rclone"),
        "serve",
        "webdav",
        str(root),
        "--addr",
        address,
        "--config",
        "/dev/null",
    )
    return Daemon(directory, argv, Target(url=f"http://{address}/", root=root)).start()


if __name__ == "__main__":
    main(launch)

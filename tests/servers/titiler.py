"""TiTiler over GeoTIFFs on this machine: the peer of what is computed when it is read."""

from pathlib import Path

from tests.servers.daemon import Daemon, free_port, main
from tests.servers.programs import clients_python
from tests.servers.target import Target

_APP = """\
from fastapi import FastAPI
from titiler.core.errors import DEFAULT_STATUS_CODES, add_exception_handlers
from titiler.core.factory import TilerFactory

app = FastAPI()
app.include_router(TilerFactory(router_prefix="/cog").router, prefix="/cog")
add_exception_handlers(app, DEFAULT_STATUS_CODES)
"""


def launch(directory: Path, *, workers: int = 1) -> Daemon:
    """Start TiTiler with the settings that its documentation recommends for COGs."""
    root = directory / "files"
    root.mkdir(exist_ok=True)
    (directory / "tiles.py").write_text(_APP)
    port = free_port()
    argv = (
        clients_python("titiler"),
        "-m",
        "uvicorn",
        "--app-dir",
        str(directory),
        "--port",
        str(port),
        "--workers",
        str(workers),
        "--log-level",
        "warning",
        "--no-access-log",
        "tiles:app",
    )
    environment = {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_CACHEMAX": "200",
        "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
        "VSI_CACHE": "TRUE",
        "PYTHONPATH": "",
    }
    target = Target(url=f"http://127.0.0.1:{port}/", root=root)
    return Daemon(directory, argv, target, environment=environment).start(60)


if __name__ == "__main__":
    main(launch)

"""The demo: a sample archive in a temporary folder, served until it is stopped."""

import errno
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track

from processors.grammar.compiling import compile_template
from processors.grammar.template import TemplateText
from providers import registry
from vfs import sample
from vfs.address import Address
from vfs.app import App
from vfs.config import Config, MountConfig, ServerConfig
from vfs.http.listeners import bind_errno
from vfs.serve import Inbox, ignore_signals, serve, signals
from vfs.template_config import ProcessingConfig
from vfs.toml_file import ConfigError

FIRST_PORT = 8080
PORTS_TRIED = 20

TEMPLATE = "tiffstore"
_TIFFSTORE = TemplateText(
    path="{subject:id}/{date:date}/{layer:int}/{grid:grid}",
    source="/archive/{subject}/{date}.tif",
    run=("tiff.window",),
)


def run(*, port: int | None, keep: Path | None) -> None:
    """Write the archive, serve it, and remove it at the end unless it is to be kept.

    Raises ConfigError when the port is in use, or the folder cannot be used or takes no more.
    """
    console = Console(highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        inbox = stack.enter_context(signals(reloads=False))
        folder = stack.enter_context(_kept(keep) if keep else _temporary())
        try:
            _write(folder, inbox)
        except OSError as error:
            raise ConfigError(
                f"headgate: the sample archive, about 140 MB, cannot be written to '{folder}': "
                f"{error.strerror or error}; free some room, or name another place by --keep"
            ) from error
        if not inbox.empty():
            return
        app = stack.enter_context(closing(_bound(folder, port)))
        serve(app, inbox, ready=lambda: _explain(console, app.server.url, folder))


@contextmanager
def _temporary() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="headgate-demo-"))
    try:
        yield folder
    finally:
        try:
            ignore_signals()
        finally:  # the second signal may come just then, and there is but one second
            shutil.rmtree(folder)


@contextmanager
def _kept(folder: Path) -> Iterator[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"headgate: --keep '{folder}' is not empty; name a new folder")
    except OSError as error:
        raise ConfigError(f"headgate: --keep '{folder}': {error.strerror}") from error
    yield folder


def _write(folder: Path, inbox: Inbox) -> None:
    """Write the archive, with progress on a terminal; stop early when a signal came."""
    for _ in track(
        sample.write(folder),
        total=sample.pieces(),
        description="Writing the sample archive",
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ):
        if not inbox.empty():
            return


def _bound(folder: Path, port: int | None) -> App:
    """Return the gateway on the wanted port, or on the first that is free."""
    ports = [port] if port is not None else [*range(FIRST_PORT, FIRST_PORT + PORTS_TRIED), 0]
    for candidate in ports[:-1]:
        app = App(_config(folder, candidate))
        try:
            app.bind()
        except ConfigError as error:
            app.close()
            if bind_errno(error.__cause__) != errno.EADDRINUSE:
                raise
        else:
            return app
    app = App(_config(folder, ports[-1]))
    app.bind()
    return app


def _config(folder: Path, port: int) -> Config:
    roots = {name: folder / name for name in ("archive", "site-a", "site-b")}
    local, memory = registry.find("local").options, registry.find("memory").options
    mounts = [
        MountConfig(
            path=f"/{name}", provider="local", options=msgspec.convert({"root": root}, local)
        )
        for name, root in roots.items()
    ]
    scratch = MountConfig(path="/scratch", provider="memory", options=memory())
    return Config(
        server=ServerConfig(listen=Address(f"127.0.0.1:{port}"), cache_dir=folder / "cache"),
        mounts=(*mounts, scratch),
        processing=ProcessingConfig(),
        templates={TEMPLATE: compile_template(TEMPLATE, _TIFFSTORE)},
    )


def _explain(console: Console, url: str, folder: Path) -> None:
    """Print what can be done now, each line ready to be pasted."""
    console.print(f"[bold]Headgate serves a sample archive on {url}[/bold]")
    console.print(f"The files lie in {folder}. No login is needed; only this machine gets in.\n")
    console.print("[bold]Read and write with curl[/bold]")
    for line in curl_lines(url):
        console.print(f"  {line}", markup=False)
    console.print("\n[bold]Mount it[/bold]")
    for line in mount_lines(url):
        console.print(f"  {line}", markup=False)
    console.print("\nCtrl-C stops it.")


def mount_lines(url: str) -> tuple[str, ...]:
    """Return the command lines that mount the archive at ./drive, by davfs2 or by rclone.

    From Linux 6.16 on, davfs2 lists nothing without buf_size 64.
    """
    return (
        "mkdir -p drive; printf 'buf_size 64\\nask_auth 0\\n' > davfs2.conf",
        f'sudo mount -t davfs -o "conf=$PWD/davfs2.conf,uid=$(id -u)" {url} drive',
        f"or: rclone mount --daemon --vfs-cache-mode writes :webdav: drive --webdav-url {url}",
    )


def curl_lines(url: str) -> tuple[str, ...]:
    """Return command lines that show the archive; each works as it is."""
    return (
        f"curl -f {url}/",
        f"curl -f {url}/archive/README.txt",
        f"curl -f {url}/site-a/temperature.csv",
        f"curl -f -o 20181129.tif {url}/archive/312/20181129.tif",
        f"curl -f -o window.tif {url}/dispel/{TEMPLATE}/312/20181129/12/0-1200-0-400",
        f"curl -f {url}/dispel/{TEMPLATE}/312/20181129/.info.json",
        f"echo hello | curl -f -T - {url}/scratch/hello.txt",
        f"curl -f {url}/scratch/hello.txt",
    )

"""A clean Debian in a folder, in which the steps of a Dockerfile run, and then its server."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.docker.dockerfile import Stage, Step

MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
# Whom this machine trusts: what the environment names, before the system's own list.
CERTIFICATES = [
    *(Path(os.environ[name]) for name in ("PIP_CERT", "SSL_CERT_FILE") if name in os.environ),
    Path("/etc/ssl/certs/ca-certificates.crt"),
]

# The loopback of a new network namespace is down: SIOCSIFFLAGS, IFF_UP.
LOOPBACK_UP = (
    "import fcntl, socket, struct; s = socket.socket(); "
    "fcntl.ioctl(s, 0x8914, struct.pack('16sh', b'lo', 1))"
)


def hindrance() -> str | None:
    """Return why no clean root can be run on this machine, or None."""
    if os.geteuid() != 0:
        return "a clean root needs root, for mounts and chroot"
    # A root that lies inside a container may be refused what an engine outside would be given.
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return f"a clean root needs namespaces: {done.stderr.strip()}" if done.returncode else None


def bootstrap(suite: str) -> Path:
    """Return an archive of a minimal Debian, made by debootstrap and kept for the next run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "headgate-tests"
    archive = cache / f"{suite}-minbase.tar"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        folder = cache / f"{suite}.{os.getpid()}"
        command = ["debootstrap", "--variant=minbase", suite, str(folder), MIRROR]
        try:
            _run(command)
            part = archive.with_suffix(f".{os.getpid()}")
            _run(["tar", "-C", str(folder), "--exclude=./var/cache/apt/*", "-cf", str(part), "."])
            part.rename(archive)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return archive


def build(stages: list[Stage], context: Path, folder: Path) -> Path:
    """Run the steps of every stage, each in a clean root; return the root of the last."""
    roots: dict[str, Path] = {}
    root = folder
    for number, stage in enumerate(stages):
        root = folder / f"stage{number}"
        root.mkdir()
        suite = stage.base.removeprefix("debian:").removesuffix("-slim")
        _run(["tar", "-C", str(root), "-xf", str(bootstrap(suite))])
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        _run_stage(stage, context, root, roots)
        roots[stage.name or str(number)] = root
    return root


def _run_stage(stage: Stage, context: Path, root: Path, roots: Mapping[str, Path]) -> None:
    folder = "/"
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    for step in stage.steps:
        if step.word == "WORKDIR":
            folder = step.text
            (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.word == "ENV":
            environment |= step.pairs()
        elif step.word == "COPY":
            _copy(step, context, root, folder, roots)
        elif step.word == "RUN":
            _run_step(step.text, root, folder, environment)


def _copy(step: Step, context: Path, root: Path, folder: str, roots: Mapping[str, Path]) -> None:
    words = step.text.split()
    if words[0].startswith("--from="):
        context = roots[words.pop(0).removeprefix("--from=")]
    *sources, target = words
    place = root / folder.lstrip("/") / target if target[0] != "/" else root / target.lstrip("/")
    for name in sources:
        source = context / name.lstrip("/")
        if source.is_dir():
            skip = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True, ignore=skip)
        else:
            shutil.copy2(source, place)


def _run_step(text: str, root: Path, folder: str, environment: Mapping[str, str]) -> None:
    """Run one RUN as the image's build would, with this machine's way to the package indexes."""
    outside = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name.lower().endswith("_proxy")
    }
    binds = [path for path in _local_indexes() if path.is_dir()]
    certificates = next((path for path in CERTIFICATES if path.is_file()), None)
    if certificates is not None:
        # Beside the image's own, which the ca-certificates package rewrites.
        shutil.copy(certificates, root / "run/outside.crt")
        outside |= dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), "/run/outside.crt")
    if Path("/etc/pip.conf").exists():
        shutil.copy("/etc/pip.conf", root / "etc/pip.conf")
    for path in binds:
        (root / str(path).lstrip("/")).mkdir(parents=True, exist_ok=True)
    script = [
        "set -e",
        'mount --rbind /dev "$ROOT/dev"',
        'mount -t proc proc "$ROOT/proc"',
        *(f'mount --bind "{path}" "$ROOT{path}"' for path in binds),
        'exec chroot "$ROOT" /usr/bin/env -i "$@"',
    ]
    pairs = [f"{k}={v}" for k, v in (outside | dict(environment)).items()]
    inner = ["DEBIAN_FRONTEND=noninteractive", *pairs, "/bin/sh", "-c", f"cd {folder} && {text}"]
    outer = ["unshare", "--mount", "/bin/sh", "-c", "\n".join(script), "sh"]
    _run([*outer, *inner], ROOT=str(root))


def _local_indexes() -> list[Path]:
    """Return the folders of this machine that pip's own configuration names as indexes."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    words = re.split(r"[\s'\"=]|\\n", done.stdout + " " + os.environ.get("PIP_FIND_LINKS", ""))
    return [Path(word.removeprefix("file://")) for word in words if re.match("(file://)?/", word)]


class Container:
    """The server of an image, running as the engine would run it.

    A process, mount and network namespace of its own, a read-only root, the image's user without
    any capability, and nothing writable but /tmp and the volumes. All attributes are fixed.
    """

    def __init__(self, root: Path, stage: Stage, process: subprocess.Popen[bytes]) -> None:
        self.root = root
        self.stage = stage
        self.process = process

    @property
    def pid(self) -> int:
        """Return the number, as seen from outside, of the container's first process."""
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        until = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < until:
            children = task.read_text().split()
            if children:
                return int(children[0])
            time.sleep(0.01)
        message = f"the container ended with {self.process.poll()}"
        raise RuntimeError(message)

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as the image's user."""
        inside = ["nsenter", "-t", str(self.pid), "--mount", "--pid", "--net", "--root", "--wd=/"]
        return subprocess.run(
            [*inside, *_as_user(self.stage), *command],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


def _as_user(stage: Stage) -> list[str]:
    user, group = stage.one("USER").text.split(":")
    pairs = [f"{k}={v}" for step in stage.all("ENV") for k, v in step.pairs().items()]
    drop = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    return ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", *drop, "env", "-i", *pairs]


@contextmanager
def container(
    root: Path, stage: Stage, *, mounts: Mapping[str, Path], log: Path
) -> Iterator[Container]:
    """Start the image's ENTRYPOINT; `mounts` says which path of ours stands at which of its."""
    volumes = stage.one("VOLUME").json_list()
    own = root.with_name("volumes")
    script = [
        "set -e",
        f'"{sys.executable}" -c "{LOOPBACK_UP}"',
        'mount --bind "$ROOT" "$ROOT"',
        'mount --rbind /dev "$ROOT/dev"',
        'mount -t proc proc "$ROOT/proc"',
        'mount -t tmpfs tmpfs "$ROOT/tmp"',
    ]
    for volume in volumes:
        # An engine fills a new volume from the image, owner and mode included.
        place = own / volume.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            _run(["cp", "-a", str(root / volume.lstrip("/")), str(place)])
        script.append(f'mount --bind "{place}" "$ROOT{volume}"')
    for inside, outside in mounts.items():
        target = root / inside.lstrip("/")
        if outside.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.touch()
        script.append(f'mount --bind "{outside}" "$ROOT{inside}"')
    script += [
        'mount -o remount,bind,ro "$ROOT"',
        'cd "$ROOT" && exec chroot "$ROOT" "$@"',
    ]
    start = ["/bin/sh", "-c", f'cd {stage.all("WORKDIR")[-1].text} && exec "$@"', "sh"]
    namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child"]
    outer = ["unshare", *namespaces, "/bin/sh", "-c", "\n".join(script), "sh"]
    entry = stage.one("ENTRYPOINT").json_list()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*outer, *_as_user(stage), *start, *entry],
            env=os.environ | {"ROOT": str(root)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Container(root, stage, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=30)


def _run(command: list[str], **environment: str) -> None:
    done = subprocess.run(
        command,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode != 0:
        message = f"{command[:2]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        raise RuntimeError(message[-4000:])

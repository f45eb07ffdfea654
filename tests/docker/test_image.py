"""The image's own steps build it in a clean Debian, and its server lives as it would there."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.clean_root import Container, build, container, hindrance
from tests.docker.dockerfile import Stage, read

CONFIG = "/etc/headgate/headgate.toml"


@pytest.fixture(scope="module")
def stages(root: Path) -> list[Stage]:
    return read(root / "docker" / "Dockerfile")


@pytest.fixture(scope="module")
def image(stages: list[Stage], root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root folder that the image's steps made."""
    reason = hindrance()
    if reason is not None:
        pytest.skip(reason)
    return build(stages, root, tmp_path_factory.mktemp("image"))


@pytest.fixture
def running(image: Path, stages: list[Stage], root: Path, tmp_path: Path) -> Iterator[Container]:
    data = tmp_path / "data"
    data.mkdir()
    (data / "hello.txt").write_text("hello")
    # The user of the image must pass through the folders above.
    mounts = {CONFIG: root / "docker" / "headgate.toml", "/srv/data": data}
    log = tmp_path / "log"
    with container(image, stages[-1], mounts=mounts, log=log) as started:
        yield started
    print(log.read_text())


@pytest.fixture(scope="module")
def service(root: Path) -> dict[str, Any]:
    content = yaml.safe_load((root / "docker" / "compose.yaml").read_text())
    service: dict[str, Any] = content["services"]["headgate"]
    return service


def test_image_runs_as_a_fixed_user_that_is_not_root(stages: list[Stage]) -> None:
    user, group = stages[-1].one("USER").text.split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_entry_point_and_health_check_need_no_shell(stages: list[Stage]) -> None:
    """A shell as first process would keep the signals to itself."""
    assert stages[-1].one("ENTRYPOINT").json_list()[0] == "headgate"
    assert "CMD [" in stages[-1].one("HEALTHCHECK").text


def test_image_imports_nothing_from_the_working_folder(stages: list[Stage]) -> None:
    assert stages[-1].one("ENV").pairs()["PYTHONSAFEPATH"] == "1"


def test_every_package_is_copied_and_not_ignored(stages: list[Stage], root: Path) -> None:
    ignore = (root / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    sources = {name for step in stages[0].all("COPY") for name in step.text.split()[:-1]}
    assert sources >= {"cache", "processors", "providers", "vfs", "pyproject.toml"}
    assert sources == {line.removeprefix("!") for line in ignore if line.startswith("!")}


def test_compose_gives_no_more_than_is_needed(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert f"./headgate.toml:{CONFIG}:ro" in service["volumes"]


def test_compose_keeps_the_volumes_of_the_image(
    service: dict[str, Any], stages: list[Stage]
) -> None:
    targets = {volume.split(":")[1] for volume in service["volumes"]}
    assert set(stages[-1].one("VOLUME").json_list()) <= targets


def check_health(running: Container) -> None:
    """Wait until the image's own health check passes."""
    command = running.stage.one("HEALTHCHECK").json_list()
    until = time.monotonic() + 20
    while True:
        done = running.run(command)
        if done.returncode == 0:
            return
        assert running.process.poll() is None, "the server ended"
        assert time.monotonic() < until, done.stderr
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.server("debootstrap")
@pytest.mark.xdist_group("docker")
class TestRun:
    """Everything that an engine would do with the image, but for the engine."""

    def test_it_serves_and_ends_in_good_order(self, running: Container) -> None:
        """Health passes, a file arrives, nothing of the root can be written, SIGTERM gives 0."""
        check_health(running)
        python = "/opt/headgate/bin/python"
        fetch = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/data/hello.txt').read())"
        assert running.run([python, "-c", fetch]).stdout.strip() == "b'hello'"
        write = running.run([python, "-c", "open('/opt/headgate/x', 'w')"])
        assert "Read-only file system" in write.stderr
        status = Path(f"/proc/{running.pid}/status").read_text()
        assert "Uid:\t10001\t10001\t10001\t10001" in status
        assert "CapBnd:\t0000000000000000" in status
        os.kill(running.pid, signal.SIGTERM)
        assert running.process.wait(timeout=30) == 0

    def test_health_check_fails_without_a_server(
        self, image: Path, stages: list[Stage], root: Path, tmp_path: Path
    ) -> None:
        sleeper = Stage(
            stages[-1].base, "", [s for s in stages[-1].steps if s.word != "ENTRYPOINT"]
        )
        entry = type(stages[-1].steps[0])("ENTRYPOINT", '["sleep", "30"]')
        sleeper.steps.append(entry)
        with container(image, sleeper, mounts={}, log=tmp_path / "log") as started:
            time.sleep(0.5)
            assert started.run(sleeper.one("HEALTHCHECK").json_list()).returncode != 0

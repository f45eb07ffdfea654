"""The documents and the source keep the rules of the house."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

LONGEST_FILE_LINES = 400
SECTIONS = ["Context", "Choice", "Alternatives", "Consequence"]
TOP = {"vfs", "providers", "processors", "cache", "tests", "docs", "docker", ".ci", ".gitignore"}
TOP |= {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"}
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".sh", ".cfg", ""}

# Folders of a machine. The names are put together, so that this file does not hold them itself.
PLACES = ["/".join(("", *words)) for words in (("work", "x"), ("root", "x"), ("home", "ann"))]
MACHINE_PATHS = re.compile(r"(?<![\w.~$}*])/(?:(?:work|root)/\w|home/[a-z])")


def documents(root: Path) -> list[Path]:
    """Return every page."""
    return [root / "README.md", root / "CHANGELOG.md", *sorted((root / "docs").rglob("*.md"))]


def sources(root: Path) -> Iterator[Path]:
    """Yield every file of the project: what git would take, or what is there without git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=root, capture_output=True, timeout=30, check=False)
    if done.returncode == 0:
        files = [root / name for name in done.stdout.decode().split("\0") if name]
    else:
        tops = ("cache", "docker", "docs", "processors", "providers", "tests", "vfs")
        files = [file for top in tops for file in (root / top).rglob("*")]
    yield from (f for f in files if f.is_file() and "__pycache__" not in f.parts)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {words.replace(" ", "-") for words in plain}


def test_every_link_leads_somewhere(root: Path) -> None:
    broken = []
    for page in documents(root):
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name) if name else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(root)}: {link}")
    assert not broken


def test_every_page_can_be_reached(root: Path) -> None:
    """Following the links from the README and the index finds every page."""
    found: set[Path] = set()
    waiting = [root / "README.md", root / "docs" / "index.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in found or not page.is_file():
            continue
        found.add(page)
        links = re.findall(r"\]\(([^)\s#]+\.md)(?:#[^)]*)?\)", page.read_text())
        waiting += [page.parent / link for link in links if ":" not in link]
    lost = {page.resolve() for page in documents(root)} - found
    assert not lost


def test_every_decision_has_its_four_sections(root: Path) -> None:
    folder = root / "docs" / "design" / "decisions"
    index = (folder / "README.md").read_text()
    records = sorted(folder.glob("[0-9]*.md"))
    assert records
    numbers = [int(record.name[:4]) for record in records]
    assert numbers == list(range(1, len(records) + 1))
    for record in records:
        text = record.read_text()
        assert text.startswith(f"# {record.name[:4]}: "), record.name
        assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == SECTIONS, record.name
        assert f"]({record.name})" in index, f"{record.name} is missing in the index"
        for section in text.split("\n## ")[1:]:
            assert len(section.split()) > 15, f"{record.name}: {section[:20]!r} says nothing"


def test_the_top_level_holds_nothing_else(root: Path) -> None:
    assert {file.relative_to(root).parts[0] for file in sources(root)} <= TOP


def test_no_file_is_too_long(root: Path) -> None:
    long = {
        str(file.relative_to(root)): lines
        for file in sources(root)
        if file.suffix == ".py"
        and (lines := len(file.read_text().splitlines())) > LONGEST_FILE_LINES
    }
    assert not long, "split by noun"


def test_no_file_names_a_place_on_somebodys_machine(root: Path) -> None:
    found = []
    for file in sources(root):
        if file.suffix in TEXT and file.name != "LICENSE":
            for number, line in enumerate(file.read_text().splitlines(), 1):
                if MACHINE_PATHS.search(line):
                    found.append(f"{file.relative_to(root)}:{number}: {line.strip()}")
    assert not found


@pytest.mark.parametrize("place", PLACES)
def test_a_place_on_a_machine_is_recognised(place: str) -> None:
    """The pattern finds what it is for, and leaves a path of the namespace alone."""
    assert MACHINE_PATHS.search(f"see '{place}/y'")
    assert not MACHINE_PATHS.search(f"/site{place} ..{place} /workshop/x /homes")

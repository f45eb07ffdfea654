"""The page on rights tells what the matrix of rights proves, and its examples hold."""

import re
from pathlib import Path

import pytest

from tests.vfs.auth.matrix import DERIVED, FILE, FOLDER, GONE, NEW, OF_NOTHING, VERBS, Need, Verb
from vfs import config
from vfs.auth import scopes
from vfs.auth.caller import ANONYMOUS, Caller
from vfs.auth.right import Right
from vfs.auth.rights import Rights

# How people call what the matrix calls its verbs.
OF = {
    "options": "anything",
    "get": "a file",
    "head": "a file",
    "get nothing": "a name that is not there",
    "page": "a folder",
    "page of the way": "a folder that leads to what one may see",
    "put new": "a new file",
    "put over": "a file that is there",
    "patch": "a file",
    "stat": "a file",
    "stat nothing": "a name that is not there",
    "list": "a folder and its members",
    "proppatch": "a file",
    "mkcol": "a new folder",
    "delete": "a file",
    "delete folder": "a folder with all it holds",
    "delete nothing": "a name that is not there",
    "copy": "a file to a new name",
    "copy over": "a file over another",
    "copy folder": "a folder",
    "move": "a file to a new name",
    "lock": "a file",
    "lock new": "a new name",
    "get derived": "a derived file",
    "head derived": "a derived file",
    "derived of nothing": "a derived file of a name that is not there",
    "own jobs": "the list of one's own jobs",
    "another's job": "somebody else's job",
}
PLACES = {FILE, FOLDER, GONE, NEW, DERIVED, OF_NOTHING}
HEAD = '[server]\nlisten = "127.0.0.1:0"\n[mounts."/data"]\nprovider = "memory"\n'


@pytest.fixture
def page(root: Path) -> str:
    return (root / "docs" / "howto" / "rights.md").read_text()


def table(page: str, head: str) -> list[list[str]]:
    """Return the rows of the tables that begin with `head`."""
    found = []
    for block in re.findall(rf"^{re.escape(head)}\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE):
        found += [[cell.strip() for cell in row.split("|")[1:-1]] for row in block.splitlines()]
    return found


def where(verb: Verb, need: Need) -> str:
    """Return where a right is needed, if that is not what the request names."""
    if need.path == verb.headers.get("Destination"):
        return " at the destination"
    if need.path == verb.target or "Destination" in verb.headers:
        return ""
    if verb.target in {DERIVED, OF_NOTHING}:
        return " at its source"
    return " at what it makes" if need.path == DERIVED else ""


def row(verb: Verb) -> list[str]:
    needs = []
    for need in verb.needs:
        assert need.path in PLACES or "Destination" in verb.headers or need.way
        needs.append(" or ".join(need.rights) + where(verb, need))
    return [verb.method, OF[verb.name], "; ".join(needs) or "nothing"]


def test_the_page_lists_what_each_request_needs(page: str) -> None:
    assert table(page, "| request | of | needs |") == [row(verb) for verb in VERBS]


def caller_of(text: str, settings: config.Config) -> Caller:
    """Return whom a cell describes."""
    if text == "nobody":
        return ANONYMOUS
    for user in settings.users:
        if user.name == text:
            return Caller(name=text, groups=frozenset(user.groups))
    found = re.fullmatch(r"token (?:with `(.+)`|without scopes, of the group `(.+)`)", text)
    assert found, text
    word, group = found.groups()
    groups = frozenset({group} if group else ())
    words = scopes.parse([word]) if word else None
    return Caller(name="iam:x", groups=groups, scopes=words, vouched=True)


def test_the_examples_give_what_the_page_says(page: str, tmp_path: Path) -> None:
    examples = re.findall(r"^```toml\n(.*?)^```\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for text, told in examples:
        file = tmp_path / "headgate.toml"
        file.write_text(HEAD + text)
        settings = config.load(file)
        rights = Rights(settings.grants())
        rows = table(told, "| caller | at | may |")
        assert len(rows) >= 5
        for who, path, may in rows:
            caller = caller_of(who, settings)
            found = [right for right in Right if rights.allows(caller, path.strip("`"), right)]
            assert (", ".join(found) or "nothing") == may, (who, path)

"""Many entries at once are answered just as each alone."""

from hypothesis import given
from hypothesis import strategies as st

from providers.base import Entry, Kind
from vfs.dav.bodies import Asked, Propfind
from vfs.dav.columns import COLUMNS
from vfs.dav.multistatus import BASIC, PropfindTemplate, fragment
from vfs.dav.xml import Name
from vfs.http.target import quote

_NS = 1_000_000_000
NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8) | st.sampled_from(
    ["a.tif", "a b", "100%", "%s", "\udce9", "\n", "a&b"]
)
VERSIONS = st.text(max_size=70) | st.sampled_from(["1-2-3-4", "a\nb", "x" * 64, "x" * 65])
TIMES = st.integers(-_NS, 3 * _NS) | st.integers(-(10**20), 10**20)
TYPES = st.sampled_from([None, "a/b", "a/b&c", "application/octet-stream"])
MISSING = [Name("urn:%s", "a"), Name("", "b"), Name("DAV:", "z")]
SAME = Name("DAV:", "supportedlock")


def entries(kind: Kind) -> st.SearchStrategy[list[Entry]]:
    size = st.integers(0, 2**70) if kind is Kind.FILE else st.just(0)
    return st.lists(st.builds(Entry, NAMES, st.just(kind), size, TIMES, VERSIONS, TYPES))


@given(
    st.sampled_from(Kind).flatmap(entries),
    st.lists(st.sampled_from([*BASIC, *MISSING, SAME]), unique=True),
    st.sampled_from([Asked.ALL, Asked.SOME]),
)
def test_rows_and_responses_agree(found: list[Entry], names: list[Name], asked: Asked) -> None:
    live = {**BASIC, SAME: lambda _path, _entry: "<100%s/>"}
    template = PropfindTemplate(Propfind(asked, tuple(names)), live, BASIC)
    for kind, end in ((Kind.FILE, ""), (Kind.FOLDER, "/")):
        rows = template.rows({**COLUMNS[kind], SAME: "<100%s/>"}, end)
        assert rows is not None
        of_kind = [entry for entry in found if entry.kind is kind]
        assert rows.write(of_kind) == [
            fragment(template.response(f"{quote(entry.name)}{end}", "", entry)).encode()
            for entry in of_kind
        ]


def test_what_entries_alone_do_not_tell_is_not_written_in_rows() -> None:
    other = Name("DAV:", "quota-used-bytes")
    live = {**BASIC, other: lambda _path, _entry: "1"}
    some = PropfindTemplate(Propfind(Asked.SOME, (other,)), live, BASIC)
    assert some.rows(COLUMNS[Kind.FILE]) is None
    names = PropfindTemplate(Propfind(Asked.NAMES), BASIC, BASIC)
    assert names.rows(COLUMNS[Kind.FILE]) is None


def test_an_entry_has_the_hash_of_what_it_equals() -> None:
    """Kinds equal texts, so they are found under them too."""
    assert {"file": 1}[Kind.FILE] == 1
    assert hash(Entry("a", Kind.FILE, 1, 2, "v")) == hash(Entry("a", Kind("file"), 1, 2, "v"))

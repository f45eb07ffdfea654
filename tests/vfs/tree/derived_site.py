"""A tree with a processing mount over memory stores, with real workers and real results."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cache.budget import Limits as Room
from cache.results import Results
from processors.base import Limits
from processors.grammar.catalogue import Catalogue
from processors.grammar.compiling import compile_template
from processors.grammar.template import TemplateText
from processors.making.maker import Maker
from processors.work.pool import Pool, PoolSettings
from providers.base import Entry
from providers.memory import MemoryOptions, MemoryProvider
from tests.processors.sheets import PROCESSORS, find, sheet
from vfs.auth.caller import ANONYMOUS, Caller
from vfs.auth.right import Right
from vfs.auth.rights import Rights, Rule
from vfs.tree.derived import DerivedProvider
from vfs.tree.mounts import Mount, MountTable, Replica
from vfs.tree.steps import Steps
from vfs.tree.tree import Tree

TIFFSTORE = TemplateText(
    path="{subject:id}/{date:date}/{layer:int}/{grid:grid}",
    source="/archive/{subject}/{date}.sheet",
    run=("sheet.window",),
)
SHEET = sheet(3, 20, 10)


class Site:
    """`/archive` and `/other` with sheets, and `/dispel` over them. Everything is fixed."""

    def __init__(
        self, folder: Path, *, rules: tuple[Rule, ...] = (), **texts: TemplateText
    ) -> None:
        self.stores = {path: MemoryProvider(MemoryOptions()) for path in ("/archive", "/other")}
        mounts = [Mount(path, [store]) for path, store in self.stores.items()]
        self.results = Results(folder, Room(free_bytes=0))
        self.pool = Pool(PoolSettings(find="tests.processors.sheets:find", workers=1, memo=folder))
        limits = Limits(members=50)
        self.maker = Maker(self.results, self.pool, limits=limits)
        texts.setdefault("tiffstore", TIFFSTORE)
        catalogue = Catalogue(
            {name: compile_template(name, text, find) for name, text in texts.items()},
            find=find,
            processors=lambda: PROCESSORS,
        )
        self.provider = DerivedProvider(
            catalogue,
            self.maker,
            Steps(MountTable(mounts)),
            mount="/dispel",
            limits=limits,
            prompt=True,
        )
        derived = Mount("/dispel", [Replica(self.provider, is_guarded=True)])
        self.tree = Tree(MountTable([*mounts, derived]), Rights(rules))
        self.admin = Tree(MountTable(mounts))

    def put(self, path: str, data: bytes = SHEET) -> None:
        """Write a file, with the folders that lead to it."""
        place = ""
        for name in path[1:].split("/")[:-1]:
            place += f"/{name}"
            if self.admin.target(ANONYMOUS, place) is None:
                self.admin.mkdir(ANONYMOUS, place)
        with self.admin.create(ANONYMOUS, path) as writer:
            writer.write(data)
            writer.commit()

    def get(self, path: str, caller: Caller = ANONYMOUS) -> bytes:
        """Read a whole file."""
        with self.tree.open(caller, path) as reader:
            return reader.read_at(0, reader.entry.size)

    def names(self, path: str, caller: Caller = ANONYMOUS) -> list[str]:
        """List a folder."""
        return [entry.name for entry in self.tree.scandir(caller, path)]

    def entries(self, path: str) -> dict[str, Entry]:
        """List a folder, with all that is told of its members."""
        return {entry.name: entry for entry in self.tree.scandir(ANONYMOUS, path)}

    def close(self) -> None:
        """End the workers."""
        self.maker.close()
        self.results.close()


MakeSite = Callable[..., Site]


def sites(folder: Path) -> Iterator[MakeSite]:
    """Give what makes sites; all are closed in the end."""
    made: list[Site] = []

    def make(**options: Any) -> Site:
        made.append(Site(folder / f"cache-{len(made)}", **options))
        return made[-1]

    yield make
    for site in made:
        site.close()


def rule(path: str, who: str, *rights: Right) -> Rule:
    """Return a rule for one."""
    return Rule(path=path, who=frozenset({who}), rights=frozenset(rights or Right))

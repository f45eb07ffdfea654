"""`headgate cache`: what is remembered of stores; works beside running gateways."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from vfs.commands.pending import pending

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.base import Provider
    from providers.cached import CachedProvider
    from providers.errors import StorageError
    from vfs.config import Config, MountConfig, StoreConfig
    from vfs.store_cache import StoreCache

# Files up to this size are warmed many at once, so many of them are listed ahead.
_SMALL_BYTES = 64 << 10
_AT_ONCE = 1024

_PATH = click.Path(path_type=Path, readable=False)


class Place(msgspec.Struct, frozen=True):
    """A path in one cached store: `name` is what the cache calls it, `below` the path in it."""

    mount: "MountConfig"
    store: "StoreConfig"
    name: str
    below: str


class Held(msgspec.Struct, frozen=True):
    """What the cache has of one store, and how it served."""

    mount: str
    files: int
    size_bytes: int
    hits: int
    misses: int
    hit_percent: float | None
    served_bytes: int
    fetched_bytes: int
    pinned: tuple[str, ...]


@click.group()
def cache() -> None:
    """Look after what is remembered of stores.

    Running gateways see it at once.
    """


def _config_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--config", metavar="FILE", type=_PATH, required=True, help="Configuration."
    )(command)


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@_config_option
def stat(*, as_json: bool, config: Path) -> None:
    """Show what the cache holds of each mount, and how it served; the last row is the sum.

    hit_percent is the part of the served bytes that was not fetched for it. A name with '#' is a
    store that the configuration does not have any more.
    """
    from vfs.commands.listing import show

    with _opened(config) as (settings, store_cache):
        found = store_cache.blocks.stat()
        pins = store_cache.blocks.index.pins()
        limit, folder = settings.cache.size_bytes, settings.server.cache_dir
        names = {place.name: place.mount.path for place in _places(settings, "/")}
    rows = [
        _held(
            names.get(name, name),
            found.mounts.get(name, {}),
            tuple(path or "/" for mount, path in pins if mount == name),
        )
        for name in sorted({*names, *found.mounts})
    ]
    total = {
        key: sum(numbers.get(key, 0) for numbers in found.mounts.values())
        for numbers in found.mounts.values()
        for key in numbers
    }
    show(Held, [*rows, _held("(all)", total)], as_json=as_json)
    if not as_json and sys.stdout.isatty():
        click.echo(f"\n{found.size:,} of {limit:,} bytes are used in {folder}")
    if found.fault:
        click.echo(f"nothing can be written to the cache: {found.fault}", err=True)


@cache.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@_config_option
def warm(paths: tuple[str, ...], config: Path) -> None:
    """Bring files, and folders with all they hold, into the cache."""
    from providers import registry
    from providers.errors import StorageError
    from vfs.check import with_secrets
    from vfs.commands.progress import progress

    files = failures = 0
    with _opened(config) as (settings, store_cache), with_secrets(settings) as bound:
        places = [place for path in paths for place in _found(bound, path)]
        with progress() as show:
            for place in places:
                inner = registry.make(place.store.provider, place.store.options)
                with closing(store_cache.wrap(inner, place.name)) as store:
                    for path, done, size in _warmed(store, _files(store, place)):
                        if isinstance(done, StorageError):
                            failures += 1
                            click.echo(f"{_shown(place, path)}: {done}", err=True)
                            continue
                        show(_shown(place, path), done, size)
                        files += done == size
        fault = store_cache.blocks.fault()
    if fault:
        raise click.ClickException(f"the cache takes no more: {fault}")
    if failures:
        raise click.ClickException(f"{failures} files could not be read; {files} are in the cache")
    click.echo(f"{files} files are in the cache.")


@cache.command()
@click.argument("path")
@_config_option
def pin(path: str, config: Path) -> None:
    """Never evict PATH, and what lies below it, for want of room."""
    with _opened(config) as (settings, store_cache):
        for place in _found(settings, path):
            store_cache.blocks.pin(place.name, place.below)
    click.echo(f"{path} is pinned.")


@cache.command()
@click.argument("path")
@_config_option
def unpin(path: str, config: Path) -> None:
    """Take back a pin."""
    with _opened(config) as (settings, store_cache):
        unpin_ = store_cache.blocks.unpin
        there = [unpin_(place.name, place.below) for place in _found(settings, path)]
        if not any(there):
            raise click.UsageError(f"{path} is not pinned; see: headgate cache stat")
    click.echo(f"{path} is no longer pinned.")


@cache.command()
@click.argument("path")
@_config_option
def evict(path: str, config: Path) -> None:
    """Remove the bytes of PATH, and of what lies below it, from the cache, pinned or not."""
    with _opened(config) as (settings, store_cache):
        swept = [
            store_cache.blocks.evict(place.name, place.below) for place in _found(settings, path)
        ]
    click.echo(
        f"{sum(one.removed_files for one in swept)} files with"
        f" {sum(one.removed_bytes for one in swept):,} bytes were removed."
    )


@cache.command()
@click.argument("path")
@_config_option
def refresh(path: str, config: Path) -> None:
    """Forget the entries of PATH, and of what lies below it: the store is asked anew.

    Bytes stay; those of another version are never given.
    """
    with _opened(config) as (settings, store_cache):
        for place in _found(settings, path):
            store_cache.listings.invalidate_tree(place.name, place.below)
    click.echo(f"{path} is asked for anew.")


@contextmanager
def _opened(file: Path) -> "Iterator[tuple[Config, StoreCache]]":
    """Open the cache that a configuration names; what its disk refuses ends the command."""
    import sqlite3

    from vfs.config import load
    from vfs.store_cache import StoreCache

    config = load(file)
    with closing(StoreCache(config)) as store_cache:
        if store_cache.fault:
            raise click.UsageError(
                f"server.cache_dir '{config.server.cache_dir}' cannot be used: {store_cache.fault}"
            )
        try:
            yield config, store_cache
        except (sqlite3.Error, OSError) as error:
            raise click.ClickException(f"the cache cannot be used: {error}") from error


def _places(config: "Config", path: str) -> list[Place]:
    """Return the place of `path` in each cached store, also of mounts beneath it."""
    from providers.errors import InvalidPath
    from vfs.store_cache import cache_name, is_cached
    from vfs.tree import paths

    try:
        path = paths.parse(path)
    except InvalidPath as error:
        raise click.UsageError(f"{path!r} is no path: {error.detail}") from error
    above = [mount for mount in config.mounts if paths.is_within(path, mount.path)]
    mounts = [mount for mount in config.mounts if paths.is_within(mount.path, path)]
    nearest = max(above, key=lambda mount: len(mount.path), default=None)
    if nearest is not None and nearest not in mounts:
        mounts.append(nearest)
    return [
        Place(
            mount,
            store,
            cache_name(mount, store),
            paths.relative(path, mount.path) if mount is nearest else "",
        )
        for mount in mounts
        for store in mount.stores
        if is_cached(mount, store)
    ]


def _found(config: "Config", path: str) -> list[Place]:
    places = _places(config, path)
    if not places:
        raise click.UsageError(f'nothing at {path} is cached; a mount with cache = "read" is')
    return places


def _files(store: "Provider", place: Place) -> Iterator[tuple[str, int]]:
    """Yield path and size of each file at or below a place; memory holds the folders ahead alone.

    What cannot be listed ends the command.
    """
    from providers.errors import StorageError
    from providers.names import join

    folder = place.below
    try:
        entry = store.stat(folder)
        if not entry.is_folder:
            yield folder, entry.size
            return
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            for entry in store.scandir(folder):
                inside = join(folder, entry.name)
                if entry.is_folder:
                    waiting.append(inside)
                else:
                    yield inside, entry.size
    except StorageError as error:
        raise click.UsageError(f"{_shown(place, folder)}: {error.text}") from error


def _warmed(
    store: "CachedProvider", files: "Iterator[tuple[str, int]]"
) -> "Iterator[tuple[str, int | StorageError, int]]":
    """Yield each file with how much of it is in the cache, or its error; the last is the whole.

    Small files are read many at once, large ones piece by piece.
    """
    from providers.errors import StorageError

    while portion := dict(islice(files, _AT_ONCE)):
        small = [path for path, size in portion.items() if size <= _SMALL_BYTES]
        large = [path for path, size in portion.items() if size > _SMALL_BYTES]
        for path, found in store.get_many(small, _SMALL_BYTES):
            if isinstance(found, StorageError):
                yield path, found, 0
            elif found.data is None:
                large.append(path)  # it has grown
            else:
                yield path, len(found.data), len(found.data)
        for path in large:
            try:
                for done in store.warm(path):
                    if done < portion[path]:
                        yield path, done, portion[path]
            except StorageError as error:
                yield path, error, 0
            else:
                yield path, portion[path], portion[path]


def _shown(place: Place, path: str) -> str:
    """Return a path of a store as the gateway's clients know it."""
    return "/".join((place.mount.path.rstrip("/"), path)).rstrip("/") or "/"


def _held(mount: str, numbers: "Mapping[str, int]", pinned: tuple[str, ...] = ()) -> Held:
    served, fetched = numbers.get("served_bytes", 0), numbers.get("fetched_bytes", 0)
    return Held(
        mount=mount,
        files=numbers.get("files", 0),
        size_bytes=numbers.get("bytes", 0),
        hits=numbers.get("hits", 0),
        misses=numbers.get("misses", 0),
        hit_percent=round(100 * max(0, served - fetched) / served, 1) if served else None,
        served_bytes=served,
        fetched_bytes=fetched,
        pinned=pinned,
    )


cache.add_command(pending)

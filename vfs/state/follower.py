"""Follower: keeps what is remembered in step with what happens in the tree.

It follows the tree's events, so that every face that changes files (WebDAV, REST, FUSE) takes locks
and properties along without knowing of them.
"""

from collections.abc import Callable

from vfs.state.base import StateStore
from vfs.tree.events import Event, Happening


class Follower:
    """Drops, moves and copies state as the files were. All attributes are fixed."""

    def __init__(self, store: StateStore, exists: Callable[[str], bool]) -> None:
        self._store = store
        self._exists = exists

    def follow(self, event: Event) -> None:
        """Do to the state what was done to the files."""
        store, path, target = self._store, event.path, event.target
        match event.happening:
            case Happening.CREATED:
                # What a crash left behind of an earlier resource must not stick to the new one.
                store.drop_properties(path)
            case Happening.REMOVED if event.partial:
                store.prune(path, self._exists)
            case Happening.REMOVED:
                store.drop_tree(path)
            case Happening.COPIED | Happening.MOVED if event.partial:
                assert target is not None
                store.copy_tree(path, target)
                store.prune(target, self._exists)
                if event.happening is Happening.MOVED:
                    store.prune(path, self._exists)
            case Happening.COPIED:
                assert target is not None
                store.copy_tree(path, target, shallow=event.shallow)
            case Happening.MOVED:
                assert target is not None
                store.move_tree(path, target)
            case Happening.CHANGED:
                pass  # a resource keeps its locks and properties when its content changes

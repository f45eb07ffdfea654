"""Where bytes come from: one class a store, all behind the contract in `base`.

Read `memory` first: it is the reference and fits a few screens.

    base        Provider, Reader, Writer, Entry, Capabilities: the contract
    errors      StorageError and its leaves
    names       which names may exist at all
    registry    names to classes, loaded when first used, with install hints
    memory      the reference store, with its tree in `nodes` and its bytes in `sparse`
    local       a folder of this machine; below it `beneath` (opens paths), `place` (a name in an
                opened folder), `inode` (what the system tells), `pinned` (reads), `replacement`
                (writes, with `temporary` and `folderlock`), `attributes`, `linux`, `translated`
    write_back  accepts writes into a journal; below it `overlay` (what is shown), `renaming`,
                `spooled` (its readers and writers), `uploader`, `beside` (names of conflicts)
    wrap        read-only, prefix, latency and fault wrappers
    testing     the conformance suite, for authors of further stores
"""

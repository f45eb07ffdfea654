"""What Linux offers and Python does not: openat2, renameat2, shared blocks, dying with a parent."""

import ctypes
import errno
import fcntl
import functools
import os
import signal
import stat
import sys

if sys.platform != "linux":
    raise ImportError("a local folder is served on Linux only: it needs openat2 or O_PATH")

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_CACHED = 0x20

_PR_SET_PDEATHSIG = 1
# The numbers of M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
_HEAP = {-8: 2, -3: 4 << 20, -1: 8 << 20}
_SYS_OPENAT2 = 437  # calls since Linux 5.0 have one number on x86_64, aarch64 and the others
_RENAME_NOREPLACE = 1
_FICLONE = 0x40049409
_TRIES = 64
_BLOCK_BYTES = 1 << 20
_RANGE_BYTES = 1 << 30

# File systems that wait for no other machine: ext, XFS, Btrfs, tmpfs, ramfs, F2FS, ZFS, bcachefs,
# and the layers of containers.
_LOCAL_FILE_SYSTEMS = frozenset(
    {
        0xEF53,
        0x58465342,
        0x9123683E,
        0x01021994,
        0x858458F6,
        0xF2F52010,
        0x2FC12FC1,
        0xCA451A4E,
        0x794C7630,
    }
)

# Of these, what has no disk beneath: tmpfs, ramfs.
_FILE_SYSTEMS_IN_MEMORY = frozenset({0x01021994, 0x858458F6})

# How kernels and file systems say "not here": too old, wrong file system, or a sandbox.
_MISSING = frozenset(
    {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY, errno.EPERM}
)


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.POINTER(_How),
    ctypes.c_size_t,
)
# The same without letting other threads run meanwhile: for what cannot wait.
_syscall_now = ctypes.PyDLL(None, use_errno=True).syscall
_syscall_now.restype = _syscall.restype
_syscall_now.argtypes = _syscall.argtypes
_CODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_renameat2 = getattr(_libc, "renameat2", None)
if _renameat2 is not None:
    _renameat2.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    )


@functools.cache
def has_openat2() -> bool:
    """Tell whether the kernel has openat2 and no sandbox forbids it."""
    try:
        os.close(openat2(-100, "/", os.O_PATH, RESOLVE_NO_MAGICLINKS))  # -100 is AT_FDCWD
    except OSError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM)
    return True


def openat2(folder: int, path: str, flags: int, resolve: int, tries: int = _TRIES) -> int:
    """Open `path` below the descriptor `folder` under the limits of `resolve`.

    Raises the OSError of the kernel; EAGAIN only when renames disturb it many times in a row.
    """
    encoded = _encoded(path)
    how = _how(flags | os.O_CLOEXEC, resolve)
    while True:
        descriptor: int = _syscall(_SYS_OPENAT2, folder, encoded, how, 24)
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        tries -= 1
        if number == errno.EINTR or (number == errno.EAGAIN and tries):
            continue
        raise OSError(number, os.strerror(number))


def open_if(folder: int, path: str, flags: int, resolve: int) -> int:
    """Open as `openat2` does; return minus the number of an error.

    No exception, since it is the normal case that a name is free, or not in memory.
    """
    how = _how(flags | os.O_CLOEXEC, resolve)
    call = _syscall_now if resolve & RESOLVE_CACHED else _syscall
    descriptor: int = call(_SYS_OPENAT2, folder, _encoded(path), how, 24)
    return descriptor if descriptor >= 0 else -ctypes.get_errno()


def is_local(descriptor: int) -> bool:
    """Tell whether a file or folder lies on a file system that waits for no other machine."""
    return _file_system(descriptor) in _LOCAL_FILE_SYSTEMS


def is_in_memory(descriptor: int) -> bool:
    """Tell whether a file or folder lies on a file system that has no disk.

    It may have been swapped out, but so may any page of this process.
    """
    return _file_system(descriptor) in _FILE_SYSTEMS_IN_MEMORY


def rename_new(source_folder: int, source: str, target_folder: int, target: str) -> None:
    """Rename in one step where nothing stands at `target`; FileExistsError if something does."""
    if _renameat2 is not None:
        while True:
            if not _renameat2(
                source_folder,
                os.fsencode(source),
                target_folder,
                os.fsencode(target),
                _RENAME_NOREPLACE,
            ):
                return
            number = ctypes.get_errno()
            if number != errno.EINTR:
                break
        if number not in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
            raise OSError(number, os.strerror(number))
    rename_new_portably(source_folder, source, target_folder, target)


def rename_new_portably(source_folder: int, source: str, target_folder: int, target: str) -> None:
    """Do as `rename_new` on file systems without RENAME_NOREPLACE.

    link and mkdir both decide in one step who is first; only then the old name goes.
    """
    status = os.stat(source, dir_fd=source_folder, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        os.link(
            source,
            target,
            src_dir_fd=source_folder,
            dst_dir_fd=target_folder,
            follow_symlinks=False,
        )
        os.unlink(source, dir_fd=source_folder)
        return
    os.mkdir(target, dir_fd=target_folder)
    try:
        os.rename(source, target, src_dir_fd=source_folder, dst_dir_fd=target_folder)
    except OSError:
        os.rmdir(target, dir_fd=target_folder)
        raise


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent, the process `parent`, is gone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before the kernel knew
        os.kill(os.getpid(), signal.SIGKILL)


def steady_heap() -> None:
    """Have the C library give memory back, instead of keeping a pool for each of many threads.

    It would make eight pools for each processor, and keep for good what one large block has taken,
    as that of a password's hash. A library without these knobs has no need of them.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        for knob, value in _HEAP.items():
            mallopt(knob, value)


def clone(source: int, target: int, size: int) -> None:
    """Fill the empty file `target` with the first `size` bytes of `source`.

    Blocks are shared where the file system can, else copied inside the kernel; holes stay holes.
    Moves the offset of `source`. Ends early, without an error, if `source` shrinks.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _MISSING:
            raise
        _copy_data(source, target, size)
    os.ftruncate(target, size)


def _copy_data(source: int, target: int, size: int) -> None:
    offset = 0
    while offset < size:
        try:
            offset = os.lseek(source, offset, os.SEEK_DATA)
            end = min(os.lseek(source, offset, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            if error.errno not in _MISSING:
                raise
            end = size
        while offset < end:
            count = _copy_some(source, target, offset, end - offset)
            if count == 0:
                return
            offset += count


def _copy_some(source: int, target: int, offset: int, size: int) -> int:
    try:
        return os.copy_file_range(source, target, min(size, _RANGE_BYTES), offset, offset)
    except OSError as error:
        if error.errno not in _MISSING:
            raise
    return os.pwrite(target, os.pread(source, min(size, _BLOCK_BYTES), offset), offset)


def _file_system(descriptor: int) -> int:
    """Return the number of its kind, 0 when it is not told."""
    buffer = (ctypes.c_ulong * 64)()
    return 0 if _libc.fstatfs(descriptor, buffer) else int(buffer[0])


def _encoded(path: str) -> bytes:
    encoded = path.encode(*_CODING)
    if b"\0" in encoded:  # C would silently stop there and open another file
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return encoded


@functools.cache
def _how(flags: int, resolve: int) -> object:
    # The kernel only reads it, so that all threads may share one structure.
    return ctypes.pointer(_How(flags, 0, resolve))

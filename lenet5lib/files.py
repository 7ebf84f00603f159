"""Writing a file so that its reader sees the old contents or the new, never a part; and a folder used by one at a time.

The bytes go to a temporary file in the same folder, are flushed to disk, and take the file's name in one step. Chapter 7 is
about this module.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lenet5lib-lock"


class LockedError(ValueError):
    """A folder that another process is using; the text says which, and what to do."""


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; on leaving, flush it to disk and rename it to `path`.

    If anything fails, `path` is left as it was and the temporary file is removed.

    Raises:
        OSError: the folder cannot be written to, the disk is full, or `path` is a folder or a device.
    """
    if path.exists() and not path.is_file():
        # The rename would replace a device such as /dev/null.
        raise OSError(errno.EINVAL, "Not an ordinary file", str(path))
    temporary = _temporary(path)
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
        # Makes the rename itself durable, where the system can flush a folder.
        with contextlib.suppress(OSError):
            flush(path.parent, os.O_RDONLY)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """Return the path of this process's temporary file for `path`."""
    return path.with_name(f".{os.getpid()}-{path.name}")


def write(path: Path, contents: bytes) -> None:
    """Replace the contents of `path` in one step.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; `path` is left as it was.
    """
    with atomic_write(path) as temporary:
        temporary.write_bytes(contents)


def flush(path: Path, mode: int = os.O_RDWR) -> None:
    """Wait until the contents of a file are on the disk.

    Raises:
        OSError: they cannot be written.
    """
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link_or_copy(path: Path, other: Path) -> None:
    """Give a file a second name, in one step, in place of what has that name; without copying where the disk allows.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; both are left as they were.
    """
    temporary = _temporary(other)
    try:
        temporary.unlink(missing_ok=True)
        os.link(path, temporary)
        temporary.replace(other)
    except OSError:
        write(other, path.read_bytes())
    finally:  # If both were names of one file already, the rename did nothing.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, names: tuple[str, ...]) -> None:
    """Remove the temporary files of processes that died while they wrote these files; touch nothing else.

    Only for the process that holds the folder's lock, so that no temporary file is still being written.
    """
    pattern = re.compile(rf"\.\d+-({'|'.join(map(re.escape, names))})")
    for path in folder.iterdir():
        if pattern.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold an exclusive lock on a folder while the block runs; yield whether the folder could be locked.

    The system releases the lock when its process ends, however it ends, so a dead process never blocks. A folder that cannot
    be written to, or is on a disk without locks, is used without one.

    Raises:
        LockedError: another process holds the lock.
    """
    path = folder / LOCK
    lock, own = FileLock(path), None
    with contextlib.suppress(OSError, NotImplementedError):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise LockedError(
                f"{folder} is in use by another process, number {_holder(path)}. Wait "
                "for it, stop it, or name a different folder."
            ) from None
        own = path.stat()
        # For the other process's error; on a full disk the lock holds without it.
        path.write_text(str(os.getpid()))
    try:
        yield lock.is_locked
    finally:
        with contextlib.suppress(OSError):
            # The folder may have been moved, and another process have taken its place.
            if lock.is_locked and own and os.path.samestat(own, path.stat()):
                path.unlink()
        lock.release()


def _holder(path: Path) -> str:
    """Return the number of the process that holds a lock, as it wrote it, or "unknown"."""
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")[:20] or "unknown"
    return "unknown"

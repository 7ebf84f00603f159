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

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None

LOCK = ".lenet5lib-lock"


class LockedError(ValueError):
    """A folder that another process is using; the text says which, and what to do."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; on leaving, flush it to disk and rename it to `path`.

    If anything fails, `path` is left as it was and the temporary file is removed.

    Raises:
        OSError: the folder cannot be written to, the disk is full, or `path` is a folder or a device.
    """
    if path.exists() and not path.is_file():
        # The rename would replace a device such as /dev/null.
        raise OSError(errno.EINVAL, "Not an ordinary file", str(path))
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
        _flush_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write(path: Path, contents: bytes) -> None:
    """Replace the contents of `path` in one step.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; `path` is left as it was.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(contents)


def flush(path: Path) -> None:
    """Wait until the contents of a file are on the disk.

    Raises:
        OSError: they cannot be written.
    """
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def keep(path: Path, other: Path) -> None:
    """Give a file a second name, in one step, in place of what has that name; without copying where the disk allows.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; both are left as they were.
    """
    temporary = other.with_name(f".{os.getpid()}-{other.name}")
    try:
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:
            write(other, path.read_bytes())
        else:
            temporary.replace(other)
    finally:  # Where both names were of one file already, the rename did nothing.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, names: tuple[str, ...]) -> None:
    """Remove what processes that died while they wrote these files have left in a folder; touch nothing else.

    To be called by the process that holds the folder's lock: what is removed would otherwise belong to a living one.
    """
    pattern = re.compile(rf"\.\d+-({'|'.join(map(re.escape, names))})")
    for path in folder.iterdir():
        if pattern.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Keep a folder for this process while the block runs; yield whether that could be done.

    The system gives the lock up when its process ends, however it ends, so a dead process never blocks. Where the system
    cannot lock (Windows, some network disks, a folder that cannot be written to) nothing is kept.

    Raises:
        LockedError: another process has the folder.
    """
    path = folder / LOCK
    held = _take(path)
    try:
        yield held is not None
    finally:
        if held is not None:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(held), os.stat(path)):
                    path.unlink()
            os.close(held)


def _take(path: Path) -> int | None:
    """Return an open, locked descriptor of the lock file with this process's number in it; None where there are no locks.

    Raises:
        LockedError: another process has it.
    """
    if fcntl is None:
        return None
    while True:
        try:
            held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError:
            return None  # What cannot be written will be refused where something is to be saved.
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(held, 20).decode(errors="replace").strip() or "unknown"
            os.close(held)
            raise LockedError(
                f"{path.parent} is being trained by another process, number {holder}. Wait for it, stop it, or name "
                "another folder."
            ) from None
        except OSError:
            os.close(held)
            return None
        same = False
        with contextlib.suppress(OSError):
            same = os.path.samestat(os.fstat(held), os.stat(path))
        if same:
            # On a full disk the number is missing; the lock holds.
            with contextlib.suppress(OSError):
                os.truncate(held, 0)
                os.write(held, f"{os.getpid()}\n".encode())
            return held
        # The file was removed by its holder in between; take the new one.
        os.close(held)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can flush a folder (Windows and some network disks cannot)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

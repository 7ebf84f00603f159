"""Writing a file so that its reader sees the old contents or the new, never a part.

The bytes go to a temporary file in the same folder, are flushed to disk, and take the file's name in one step.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


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
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
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


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can flush a folder (Windows and some network disks cannot)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Files written in one step, and folders that one process at a time uses."""

import errno
import os
import stat

import pytest

from lenet5lib import files


def test_write_leaves_the_old_contents_when_it_fails(tmp_path):
    path = tmp_path / "a"
    files.write(path, b"old")

    def stop_half_way():
        with files.atomic_write(path) as temporary:
            temporary.write_bytes(b"ne")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        stop_half_way()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    files.write(path, b"new")
    assert path.read_bytes() == b"new"


def test_write_does_without_flushing_the_folder_where_that_cannot_be_done(
    tmp_path, monkeypatch
):
    flush = os.fsync

    def only_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        flush(descriptor)

    monkeypatch.setattr(files.os, "fsync", only_files)
    files.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_write_replaces_neither_a_folder_nor_a_device(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(OSError, match="Not an ordinary file"):
            files.write(tmp_path / name, b"")
    assert (tmp_path / "folder").is_dir()
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("links", [True, False], ids=["linked", "copied"])
def test_a_second_name_takes_the_place_of_what_had_it(links, tmp_path, monkeypatch):
    def refuse(*names):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(files.os, "link", refuse)
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_bytes(b"2")
    old.write_bytes(b"1")
    for _ in range(2):  # The second time both are names of one file already.
        files.link_or_copy(new, old)
        assert (new.read_bytes(), old.read_bytes()) == (b"2", b"2")
        assert {path.name for path in tmp_path.iterdir()} == {"new", "old"}
    assert new.samefile(old) == links


def test_only_temporary_files_of_the_named_files_are_left_overs(tmp_path):
    foreign = {".1-a.npz.bak", ".x-a.npz", ".1-b.npz", "1-a.npz", "a.npz"}
    for name in {".1-a.npz", ".23456-c", *foreign}:
        (tmp_path / name).touch()
    files.remove_leftovers(tmp_path, ("a.npz", "c"))
    assert {path.name for path in tmp_path.iterdir()} == foreign


def test_a_lock_keeps_others_out_and_leaves_nothing(tmp_path):
    with files.locked(tmp_path) as alone:
        assert alone
        with pytest.raises(files.LockedError) as refused, files.locked(tmp_path):
            pytest.fail("locked twice")
        assert str(tmp_path) in str(refused.value)
        assert f" {os.getpid()}." in str(refused.value)
    assert list(tmp_path.iterdir()) == []
    with files.locked(tmp_path) as alone:
        assert alone


def test_an_error_inside_gives_the_lock_up(tmp_path):
    with pytest.raises(RuntimeError, match="inside"), files.locked(tmp_path):
        raise RuntimeError("inside")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("obstacle", ["folder", "link"])
def test_a_folder_that_cannot_be_locked_is_used_without(obstacle, tmp_path):
    path = tmp_path / files.LOCK
    path.mkdir() if obstacle == "folder" else path.symlink_to("elsewhere")
    with files.locked(tmp_path) as alone:
        assert not alone
    assert [entry.name for entry in tmp_path.iterdir()] == [files.LOCK]


def test_the_lock_of_who_took_a_moved_folders_place_is_left(tmp_path):
    folder, aside = tmp_path / "run", tmp_path / "run.1"
    folder.mkdir()
    with files.locked(folder):
        folder.rename(aside)
        folder.mkdir()
        other = files.locked(folder)
        assert other.__enter__()
    assert (folder / files.LOCK).exists()
    other.__exit__(None, None, None)
    assert list(folder.iterdir()) == []

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from blake3 import blake3

from filmwright.media.files import check_output, check_output_folder, digest_file, making, write_atomic
from filmwright.spec.errors import MediaError


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    write_atomic(path, "schön")
    assert path.read_text(encoding="utf-8") == "schön"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_write_atomic_says_what_failed(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot write"):
        write_atomic(tmp_path / "nowhere" / "a.json", "x")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(MediaError, match="cannot write"):
        write_atomic(folder, "x")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_check_output_accepts_and_leaves_nothing(tmp_path: Path) -> None:
    assert check_output(tmp_path / "a.MP4", suffixes=(".mp4",)) == tmp_path / "a.MP4"
    assert not list(tmp_path.iterdir())
    check_output("plain-name.mp4")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere/a.mp4", "does not exist"),
        ("file/a.mp4", "not a folder"),
        ("folder.mp4", "it is a folder"),
        ("folder", "it is a folder; name a file, such as .*/folder/film.mp4"),
        ("a.gif", "must end in .mp4"),
        ("a", "must end in .mp4, such as .*/a.mp4$"),
        ("x" * 300 + ".mp4", "304 bytes"),
        ("a\0.mp4", "no file name"),
    ],
)
def test_check_output_refuses(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "folder").mkdir()
    with pytest.raises(MediaError, match=said) as caught:
        check_output(tmp_path / name, suffixes=(".mp4",))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MediaError, match="not writable"):
        check_output(tmp_path / "a.mp4")
    tmp_path.chmod(0o700)


def test_a_folder_that_takes_no_files() -> None:
    with pytest.raises(MediaError, match="cannot write"):
        check_output("/proc/a.mp4")


def test_a_folder_that_can_be_made_is_not_made_yet(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert check_output_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    check_output_folder("plain-name")
    for name, said in (("file", "it is a file"), ("file/a", "is not a folder"), ("a\0", "no folder name")):
        with pytest.raises(MediaError, match=said):
            check_output_folder(tmp_path / name)
    with pytest.raises(MediaError, match="/proc takes no files"):
        check_output_folder("/proc/a/b")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_made_for_nothing_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(KeyboardInterrupt), making(tmp_path / "mine" / "a" / "b"):
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.rglob("*")] == ["mine"]
    with pytest.raises(KeyboardInterrupt), making(tmp_path / "mine"):
        raise KeyboardInterrupt
    assert (tmp_path / "mine").is_dir(), "it was there before"
    with making(tmp_path / "a" / "b") as folder:
        (folder / "c").touch()
    assert (tmp_path / "a" / "b" / "c").exists()
    with pytest.raises(MediaError, match="cannot write"), making(tmp_path / "a" / "b" / "c" / "d"):
        pass


def test_digest_is_blake3_of_the_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # more than one block
    (tmp_path / "a").write_bytes(content)
    assert digest_file(tmp_path / "a") == blake3(content).hexdigest() != hashlib.sha256(content).hexdigest()
    with pytest.raises(MediaError, match="cannot read"):
        digest_file(tmp_path / "b")

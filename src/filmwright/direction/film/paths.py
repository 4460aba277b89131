"""Files that a film names: inside its folder by a relative path, or anywhere by an absolute one."""

from __future__ import annotations

from pathlib import Path

from filmwright.spec.errors import BadRequest

__all__ = ["inside"]


def inside(folder: Path, name: str) -> Path:
    """The absolute path of `name` in a film of `folder`; symbolic links are followed before it is judged.

    Raises:
        BadRequest: a relative path that leaves the folder, no file name, or a device.
    """
    if "\0" in name:
        raise BadRequest(f"{name!r} is no file name")
    path = Path(name)
    if path.is_absolute():
        return _plain(path)
    whole = (folder / path).resolve()
    if not whole.is_relative_to(folder.resolve()):
        raise BadRequest(f"{name} leaves the film's folder: put the file inside, or give its absolute path")
    return _plain(whole)


def _plain(path: Path) -> Path:
    """A device or a pipe may have no end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise BadRequest(f"{path} is no file but a device or a pipe: give a file")
    return path

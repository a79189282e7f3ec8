"""Folders that appear only when they are whole, and are gone on with after an interruption.

What is finished in such a folder is noted in its sub-folder ``.finished``: for each file its size, its
SHA-256 and what else its writer wants back. A file that is not as noted is made again.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import shlex
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lox.checkpoints.folders import ChangedMeanwhile

NOTES = ".finished"
CHUNK = 2**22  # bytes


@contextmanager
def unfinished_folder(out: Path, key: str) -> Iterator[Path]:
    """A folder beside ``out`` to write into, which becomes ``out`` when the block ends without an error.

    ``key`` names what determines the content: the next call with the same one gets the same folder with the
    files that were finished. After an error a folder without any is removed; of another one the error's notes
    say where it is. Raises FileExistsError and OSError as ``replaceable`` does, ValueError where another
    process is writing ``out``, with whatever key.
    """
    out = replaceable(out)
    folder = unfinished_place(out, key)
    with _parents(out), _alone(out):
        for other in set(out.parent.glob(f".{glob.escape(out.name)}.*.unfinished")) - {folder}:
            warnings.warn(f"{other} is left of a run with other settings; {_remove(other)}", stacklevel=3)
        (folder / NOTES).mkdir(parents=True, exist_ok=True)
        try:
            with whole(out, folder):
                yield folder
        except BaseException as error:
            _leave(folder, error)
            raise
        shutil.rmtree(out / NOTES)


@contextmanager
def _parents(path: Path) -> Iterator[None]:
    """The folders above ``path``; those that were made for it are gone again where nothing came into them."""
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for parent in made:
            with suppress(OSError):  # not empty
                parent.rmdir()


@contextmanager
def whole(path: Path, part: Path) -> Iterator[Path]:
    """``part``, a file or folder to write beside ``path``; it gets that name when the block ends without an error.

    A file takes the place of one that is there, a folder that of an empty one.
    """
    yield part
    part.replace(path)


def unfinished_place(out: Path, key: str) -> Path:
    """The folder in which what becomes ``out`` is made."""
    out = Path(os.path.realpath(out))
    return out.with_name(f".{out.name}.{key}.unfinished")


def replaceable(out: Path) -> Path:
    """Where ``out`` leads, links followed: nothing is there yet, or an empty folder that can be replaced.

    Raises FileExistsError for anything else, OSError where nothing can be written beside it, and ValueError
    for a name that is not UTF-8.
    """
    if out.is_symlink() and not out.exists():
        raise FileExistsError(f"{out}: a link to {os.readlink(out)}, which does not exist; remove the link")
    real = Path(os.path.realpath(out))
    if not _is_utf8(real):
        raise ValueError(f"{out}: a name that is not UTF-8, from which safetensors cannot be loaded")
    if real.exists():
        if not real.is_dir() or any(real.iterdir()):
            raise FileExistsError(f"{out}: exists already; remove it, or write somewhere else")
        _try_to_move(real, out)
    parent = existing_parent(real)
    if not parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(parent))
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(parent))
    return real


def existing_parent(path: Path) -> Path:
    """The nearest of the folders around ``path`` that exists."""
    return next(parent for parent in path.absolute().parents if parent.exists())


def finish(part: Path, target: Path, digest: str, content: object) -> None:
    """Give a whole file its name, and note its size, its SHA-256 and ``content``, which JSON can hold."""
    note = {"size": part.stat().st_size, "sha256": digest, "content": content}
    part.rename(target)
    (target.parent / NOTES / f"{target.name}.json").write_text(json.dumps(note))


def finished(path: Path) -> object | None:
    """The ``content`` noted for a file; None if it is not finished, with a warning if it is not as noted."""
    note = path.parent / NOTES / f"{path.name}.json"
    if not (note.exists() and path.exists()):
        return None
    try:
        noted = json.loads(note.read_text())
        same = noted["size"] == path.stat().st_size and noted["sha256"] == _sha256(path)
    except (ValueError, KeyError, TypeError):
        same = False
    if not same:
        warnings.warn(f"{path}: not as it was finished; it is made again", stacklevel=2)
    return noted["content"] if same else None


class FollowingDigest:
    """The SHA-256 of a file that is being written from its start on."""

    def __init__(self, path: Path):
        self.path, self.done, self.sha256 = path, 0, hashlib.sha256()

    def follow(self, end: int) -> None:
        """Take in what is written up to the byte ``end``."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.done)
            while chunk := file.read(min(CHUNK, end - self.done)):
                self.sha256.update(chunk)
                self.done += len(chunk)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the lock of ``out``, which lies beside it while somebody does."""
    path = out.with_name(f".{out.name}.lock")
    path.touch()  # where that fails, FileLock would take it for another's lock
    try:
        lock = FileLock(path).acquire(timeout=0)
    except Timeout:
        raise ValueError(f"{out}: another process is writing it") from None
    with lock:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _leave(folder: Path, error: BaseException) -> None:
    """After an error: keep a folder with finished files that the next call can use, and say where it is."""
    if isinstance(error, ChangedMeanwhile) or not any((folder / NOTES).iterdir()):
        shutil.rmtree(folder)
    else:
        error.add_note(f"the same call goes on with what is finished in {folder}; {_remove(folder)}")


def _is_utf8(path: Path) -> bool:
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False


def _remove(folder: Path) -> str:
    return f"`rm -r {shlex.quote(str(folder))}` removes it"


def _try_to_move(folder: Path, out: Path) -> None:
    """Move an empty folder away and back: what cannot be moved, as a mount point, cannot be replaced."""
    trial = folder.with_name(f".{folder.name}.trial")
    try:
        folder.rename(trial)
        trial.rename(folder)
    except OSError as error:
        reason = f"cannot be replaced ({error.strerror}); name a new folder, inside it if it is a mount point"
        raise OSError(error.errno, reason, str(out)) from None

"""Bytes and lines of a file or of the standard input, unpacked on the way; an archive that breaks off is an error."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, TextIO

from polyhead.system.regular import NotRegular, open_regular

HEAD = 1 << 16
"""Bytes that are looked at to recognise a format."""

STDIN = "-"

BOMB_FROM = 1 << 30
BOMB_RATIO = 200
"""An archive that unpacks to more bytes than both, this many times its own, holds no sequences."""

_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstandard"}


class UnreadableSource(ValueError):
    """A file that cannot be read as a whole: `code`, what is wrong, and what to do about it."""

    def __init__(self, code: str, reason: str, remedy: str):
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
        self.code, self.reason, self.remedy = code, reason, remedy


class _Joined(io.RawIOBase):
    """`head`, and then what `rest` still gives; how an archive breaks is told in one way."""

    def __init__(self, head: bytes, rest, unfinished: bool = False, most: float = float("inf")):
        self._head, self._rest, self._unfinished, self._left = head, rest, unfinished, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if self._head:
            part, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            part = _read(self._rest, len(buffer))
            if not part and self._unfinished and len(buffer):
                raise _broken_off("the bgzip end marker is missing")
        self._left -= len(part)
        if self._left < 0:
            reason = f"it unpacks to more than {BOMB_RATIO} times its size"
            raise UnreadableSource("archive-bomb", reason, "unpack it yourself, and see whether it holds sequences")
        buffer[: len(part)] = part
        return len(part)


class Source:
    """An opened source; a context manager.

    Attributes:
        path: the file, None for the standard input.
        head: the first `HEAD` bytes after unpacking.
        compression: gzip, bzip2, xz or empty.
    """

    def __init__(self, source: Path | str | BinaryIO):
        """Opens a path, ``-`` or a binary stream.

        Raises:
            UnreadableSource: there is no such file, it cannot be opened or unpacked.
        """
        self._stack = ExitStack()
        self.path = None
        if isinstance(source, (str, Path)) and str(source) != STDIN:
            self.path = Path(source)
            stream: BinaryIO = self._stack.enter_context(_open(self.path))
        else:
            stream = sys.stdin.buffer if isinstance(source, (str, Path)) else source
        try:
            self._prepare(stream)
        except BaseException:
            self._stack.close()
            raise

    def _prepare(self, stream: BinaryIO) -> None:
        start = _fill(stream)
        self.compression = next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), "")
        whole = io.BufferedReader(_Joined(start, stream))
        if not self.compression:
            self.head, self.binary = start, whole
            return
        if self.compression == "zstandard":
            raise UnreadableSource("compression", "packed with zstandard", "unpack it with `zstd -d`, or use gzip")
        unfinished = False
        if self.compression == "gzip":
            unpacked = gzip.GzipFile(fileobj=whole)
            unfinished = self.path is not None and start[12:14] == b"BC" and not _ends_as_bgzip(self.path)
        else:
            archive = bz2.BZ2File if self.compression == "bzip2" else lzma.LZMAFile
            unpacked = archive(whole)
        self._stack.enter_context(unpacked)
        self.head = _fill(unpacked)
        most = float("inf") if self.path is None else max(BOMB_FROM, BOMB_RATIO * self.path.stat().st_size)
        self.binary = io.BufferedReader(_Joined(self.head, unpacked, unfinished, most))

    def text(self) -> TextIO:
        """UTF-8 text without a byte order mark; line ends become ``\\n``, odd bytes are written as ``\\xff``."""
        return io.TextIOWrapper(self.binary, encoding="utf-8-sig", errors="backslashreplace", newline=None)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()


class Lines:
    """Lines of a text without their ends. `number` is that of the line last given, from 1."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            self.number += 1
            yield line.rstrip("\n")

    def parts(self, longest: int = 1 << 20) -> Iterator[tuple[str, bool]]:
        """Parts of at most `longest` letters, and whether one begins a line: a contig on one line needs no memory."""
        begins = True
        while part := self._stream.readline(longest):
            self.number += begins
            yield part.rstrip("\n"), begins
            begins = part.endswith("\n")


def _open(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except NotRegular as error:
        if path.is_dir():
            raise UnreadableSource("folder", "a folder, not a file", "name a file in it") from None
        raise UnreadableSource("not-a-file", f"{error.strerror}", "copy what it gives to a regular file") from None
    except FileNotFoundError:
        if path.is_symlink():
            reason = f"a link to {path.readlink()}, which is not there"
            raise UnreadableSource("missing", reason, "mend the link, or name the file itself") from None
        raise UnreadableSource("missing", "no such file", "check the path") from None
    except OSError as error:
        raise UnreadableSource("unreadable", f"cannot be opened ({error.strerror})", "") from error


def _ends_as_bgzip(path: Path) -> bool:
    with path.open("rb") as stream:
        size = stream.seek(0, io.SEEK_END)
        stream.seek(max(0, size - len(_BGZF_END)))
        return stream.read() == _BGZF_END


def _broken_off(reason: str) -> UnreadableSource:
    return UnreadableSource("broken-archive", f"the archive breaks off ({reason})", "copy or pack the file again")


def _read(stream, size: int) -> bytes:
    compressed = isinstance(stream, (gzip.GzipFile, bz2.BZ2File, lzma.LZMAFile))
    try:
        return stream.read1(size) if isinstance(stream, gzip.GzipFile) else stream.read(size) or b""
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise _broken_off(str(error).rstrip(".")) from error
    except OSError as error:
        if compressed:
            raise _broken_off(str(error)) from error
        raise


def _fill(stream) -> bytes:
    """The first `HEAD` bytes; a pipe gives them in several reads. What is broken after the first shows later."""
    parts, size = [], 0
    while size < HEAD:
        try:
            part = _read(stream, HEAD - size)
        except UnreadableSource:
            if not parts:
                raise
            break
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)

"""A reference genome: any stretch of an indexed FASTA, under whatever name its contigs go."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

_MITOCHONDRION = ("M", "MT")


class Reference:
    """A FASTA file, plain or packed with bgzip, and its index; a context manager.

    The index (``.fai``, and ``.gzi`` for bgzip) is made beside the file where it is missing or older than the file; in
    a folder that cannot be written, in a temporary one that goes when the reference is closed. It may go to other
    processes, but threads need one each.

    Attributes:
        path: the file.
        contigs: length in bases of each contig, in the order of the file.
    """

    def __init__(self, path: Path | str):
        """Opens a reference.

        Raises:
            ValueError: no such file, no FASTA, packed with plain gzip, contigs that are there twice, uneven lines.
        """
        self.path = Path(path)
        packed = self._check()
        self._temporary: Path | None = None
        self._index, self._packed_index = self._indexed(packed)
        if self._temporary is not None:
            self._finalizer = weakref.finalize(self, shutil.rmtree, self._temporary, True)
        self._open()
        self.contigs: Mapping[str, int] = MappingProxyType(
            dict(zip(self._file.references, self._file.lengths, strict=True))
        )
        self._names: dict[str, str] = {}

    def length(self, contig: str) -> int:
        """Bases of a contig; `contig` may be written as `name` allows."""
        return self.contigs[self.name(contig)]

    def fetch(self, contig: str, start: int, end: int) -> str:
        """Bases [start, end) of the forward strand, 0-based, in upper case; IUPAC codes stay as they are.

        Raises:
            ValueError: an unknown contig, or a stretch that is empty or not on the contig, whose length is named.
        """
        contig = self.name(contig)
        length = self.contigs[contig]
        if not 0 <= start < end <= length:
            raise ValueError(
                f"{contig} has {length} bases in {self.path.name}, {start + 1}-{end} (from 1) is no stretch of it"
            )
        if os.getpid() != self._process:
            # Processes that share a file handle also share its place in the file.
            self._open()
        return self._file.fetch(contig, start, end).upper()

    def name(self, contig: str) -> str:
        """The reference's own name of a contig: as written, or with or without ``chr``, M for MT and MT for M.

        Raises:
            ValueError: no contig goes by this name, or more than one does.
        """
        if contig in self.contigs:
            return contig
        found = self._names.get(contig)
        if found is None:
            matches = [name for name in self.contigs if _bare(name) == _bare(contig)]
            if len(matches) > 1:
                raise ValueError(
                    f"contig {contig!r} may be {' or '.join(matches)} of {self.path.name}; write one of them"
                )
            if not matches:
                raise ValueError(f"no contig {contig!r} in {self.path.name}; {self._known(contig)}")
            found = self._names[contig] = matches[0]
        return found

    def close(self) -> None:
        """Closes the file and removes a temporary index."""
        self._file.close()
        if self._temporary is not None:
            self._finalizer()

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getstate__(self) -> dict:
        return {"path": self.path}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["path"])

    def _open(self) -> None:
        import pysam

        indices = {"filepath_index": str(self._index)}
        if self._packed_index is not None:
            indices["filepath_index_compressed"] = str(self._packed_index)
        self._file = pysam.FastaFile(str(self.path), **indices)
        self._process = os.getpid()

    def _check(self) -> bool:
        """Whether the file is packed with bgzip."""
        # The readers know references.
        from domains.genomics.readers.recognise import recognise
        from domains.genomics.readers.stream import Source, UnreadableSource

        try:
            with Source(self.path) as source:
                found = recognise(source.head, self.path)
        except UnreadableSource as error:
            named = str(error) if str(self.path) in str(error) else f"{self.path}: {error}"
            raise ValueError(named) from error
        if found != "fasta":
            raise ValueError(f"{self.path}: a reference is FASTA, this is {found}")
        if not source.compression:
            return False
        with self.path.open("rb") as stream:
            if source.compression == "gzip" and stream.read(14)[12:14] == b"BC":
                return True
        raise ValueError(
            f"{self.path}: packed with {source.compression}, which cannot be read from the middle; unpack it, and pack"
            " it with `bgzip` if it shall stay small"
        )

    def _indexed(self, packed: bool) -> tuple[Path, Path | None]:
        """Index files that are there and not older than the file, made where they are not."""
        index = _beside(self.path, ".fai")
        packed_index = _beside(self.path, ".gzi") if packed else None
        written = self.path.stat().st_mtime
        needed = [index] if packed_index is None else [index, packed_index]
        if all(file.is_file() and file.stat().st_mtime >= written for file in needed):
            return index, packed_index
        folder = _folder_beside(self.path)
        if folder is None:
            folder = self._temporary = Path(tempfile.mkdtemp(prefix="polyhead-index-"))
        made = [folder / file.name for file in needed]
        try:
            self._make_index(made)
            if self._temporary is None:
                for file, target in zip(made, needed, strict=True):
                    file.replace(target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if self._temporary is not None:
            return made[0], made[1] if packed else None
        shutil.rmtree(folder)
        return index, packed_index

    def _make_index(self, files: list[Path]) -> None:
        import pysam

        options = ["--fai-idx", str(files[0])]
        if len(files) > 1:
            options += ["--gzi-idx", str(files[1])]
        # htslib writes to the standard error by itself.
        verbosity = pysam.set_verbosity(0)
        try:
            pysam.faidx(*options, str(self.path))  # type: ignore[attr-defined]
        except pysam.SamtoolsError as error:
            raise ValueError(
                f"{self.path}: cannot be indexed{_first_fault(self.path)}; all lines of a contig but its last must be"
                " of one length, and none may be empty (`seqkit seq -w 60` writes it so)"
            ) from error
        finally:
            pysam.set_verbosity(verbosity)
        self._refuse_repeats(files[0])

    def _refuse_repeats(self, index: Path) -> None:
        """htslib leaves out contigs whose name it has seen; here that is an error."""
        with index.open() as stream:
            indexed = sum(1 for _ in stream)
        if _headers(self.path) == indexed:
            return
        from domains.genomics.readers.stream import Source

        seen = set()
        with Source(self.path) as source:
            for line in source.text():
                name = line[1:].split(None, 1)[0] if line.startswith(">") and line[1:].strip() else None
                if name in seen:
                    raise ValueError(f"{self.path}: the contig {name} is there twice; name each contig once")
                if name:
                    seen.add(name)
        raise ValueError(f"{self.path}: a contig has no name or no sequence; give it both, or take it out")

    def _known(self, contig: str) -> str:
        near = get_close_matches(contig, self.contigs, n=3)
        names = near or list(self.contigs)[:5]
        more = "" if near or len(self.contigs) <= 5 else f" and {len(self.contigs) - 5} more"
        return ("near names: " if near else "it has ") + ", ".join(names) + more


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _first_fault(path: Path) -> str:
    """Where a FASTA file has a contig without letters or lines of uneven length; empty where it has neither."""
    from domains.genomics.readers.stream import Source

    contig, begun, width, short = "", 0, 0, False
    with Source(path) as source:
        for number, line in enumerate(source.text(), 1):
            letters = line.rstrip("\n")
            if letters.startswith(">"):
                if begun and not width:
                    break
                contig, begun, width, short = (
                    letters[1:].split(None, 1)[0] if letters[1:].split() else "",
                    number,
                    0,
                    False,
                )
            elif letters and (short or (width and len(letters) > width)):
                return f" (line {number}, contig {contig})"
            else:
                width = width or len(letters)
                short = len(letters) < width or not letters
    return f" (line {begun}, contig {contig} has no sequence)" if begun and not width else ""


def _headers(path: Path) -> int:
    """Lines of a FASTA file that begin with ``>``."""
    from domains.genomics.readers.stream import Source

    count, before = 0, b"\n"
    with Source(path) as source:
        while block := source.binary.read(1 << 22):
            count += block.count(b"\n>") + (before == b"\n" and block.startswith(b">"))
            before = block[-1:]
    return count


def _folder_beside(path: Path) -> Path | None:
    """A new folder beside a file, None where that folder is read only, also for those who may write anywhere."""
    if not path.parent.stat().st_mode & 0o222:
        return None
    try:
        return Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError:
        return None


def _bare(name: str) -> str:
    bare = name[3:] if name[:3].lower() == "chr" else name
    return _MITOCHONDRION[0] if bare.upper() in _MITOCHONDRION else bare

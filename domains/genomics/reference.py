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
    a folder that cannot be written, in a temporary one that goes when the reference is closed.

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
                f"{contig}:{start + 1}-{end} (counted from 1) is no stretch of {contig}, which has {length} bases"
                f" in {self.path.name}"
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
        try:
            folder = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        except OSError:
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
        try:
            pysam.faidx(*options, str(self.path))  # type: ignore[attr-defined]
            said = str(pysam.faidx.get_messages() or "")  # type: ignore[attr-defined]
        except pysam.SamtoolsError as error:
            said = str(error)
            lines = [line for line in said.replace("\\n", "\n").splitlines() if "faidx" not in line.lower()]
            raise ValueError(f"{self.path}: cannot be indexed: {' '.join(lines or [said]).strip()}") from error
        if "duplicate" in said.lower():
            twice = said.split('"')[1] if said.count('"') > 1 else "a contig"
            raise ValueError(f"{self.path}: {twice} is there twice; name each contig once")

    def _known(self, contig: str) -> str:
        near = get_close_matches(contig, self.contigs, n=3)
        names = near or list(self.contigs)[:5]
        more = "" if near or len(self.contigs) <= 5 else f" and {len(self.contigs) - 5} more"
        return ("near names: " if near else "it has ") + ", ".join(names) + more


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _bare(name: str) -> str:
    bare = name[3:] if name[:3].lower() == "chr" else name
    return _MITOCHONDRION[0] if bare.upper() in _MITOCHONDRION else bare

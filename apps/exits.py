"""How commands end: one clear line and an exit status, never a page of traceback unless it is asked for."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from typing import Any

from polyhead.batch.outcome import EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_NO_INPUT, EXIT_OK, EXIT_USAGE, NoInput

REMEDIES = {
    errno.ENOTDIR: "a file stands where a folder is wanted: name another place",
    errno.EISDIR: "a folder stands where a file is wanted: name another place",
    errno.EEXIST: "name another place, or remove what is there",
    errno.ENOENT: "check the path",
    errno.EACCES: "name a place that you may use, or change its permissions",
    errno.EPERM: "name a place that you may use, or change its permissions",
    errno.EROFS: "the file system is read-only: name another place",
    errno.ENOSPC: "free some space (train goes on with --resume), or name another place",
    errno.EDQUOT: "your quota is used up: free some space, or name another place",
    errno.ENAMETOOLONG: "take shorter names",
    errno.ELOOP: "the links go round: name the file itself",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n), or take fewer --workers",
    errno.EIO: "the disk or the network behind it fails: check it",
    errno.ESTALE: "the network file system lost the file: mount it anew",
}
"""What to do about what a file system refuses."""


def run(app: Any) -> int:
    """Runs a command line and turns its end into an exit status.

    A `ValueError` is something that the user can mend, and so are what the file system refuses and a package that is
    not installed: one line, status 2 (4 where nothing was found to work on). Anything else unforeseen is status 1;
    ``POLYHEAD_DEBUG=1`` shows where it came from. A process that trains together with others leaves them in order.
    """
    status = _status(app)
    ranks = sys.modules.get("polyhead.system.ranks")
    # Whoever was torn out of a step may still wait for the others there.
    if ranks is not None and status not in (EXIT_INTERNAL, EXIT_INTERRUPTED):
        ranks.leave_ranks()
    return status


def _status(app: Any) -> int:
    try:
        if "" in sys.argv[1:]:
            # As a path it would be this folder, with all that lies in it.
            raise ValueError("one of the words after the command is empty; is a variable not set?")
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else EXIT_OK if ended.code is None else EXIT_USAGE
    except KeyboardInterrupt:
        return _say("interrupted; the same command goes on where it stopped", EXIT_INTERRUPTED)
    except NoInput as nothing:
        return _say(f"error: {nothing}", EXIT_NO_INPUT)
    except ValueError as wrong:
        return _say(f"error: {wrong}", EXIT_USAGE)
    except OSError as refused:
        if refused.errno in REMEDIES:
            return _say(f"error: {refusal(refused)}", EXIT_USAGE)
        return _internal(refused)
    except ModuleNotFoundError as absent:
        if absent.name is None or absent.name.partition(".")[0] in ("apps", "domains", "polyhead", "ui"):
            return _internal(absent)
        lacking = f"the Python module {absent.name} is not installed; `polyhead doctor` says how to get it"
        return _say(f"error: {lacking}", EXIT_USAGE)
    except Exception as failure:
        # Libraries in Rust, such as safetensors and tokenizers, tell so of what the file system refused.
        told = re.search(r"\(os error (\d+)\)", str(failure))
        if told is None or int(told[1]) not in REMEDIES:
            return _internal(failure)
        return _say(f"error: {refusal(OSError(int(told[1]), os.strerror(int(told[1]))))}", EXIT_USAGE)
    return EXIT_OK


def refusal(error: OSError) -> str:
    """What a file system refused, where, and what to do about it.

    >>> refusal(NotADirectoryError(errno.ENOTDIR, "Not a directory", "notes.txt/out"))
    'notes.txt/out: Not a directory; a file stands where a folder is wanted: name another place'
    """
    place = error.filename2 or error.filename
    where = f"{os.fsdecode(place)}: " if isinstance(place, str | bytes | os.PathLike) else ""
    remedy = REMEDIES.get(error.errno or 0)
    return f"{where}{error.strerror or error}" + (f"; {remedy}" if remedy else "")


def _internal(failure: Exception) -> int:
    return _say(f"internal error: {type(failure).__name__}: {failure} (POLYHEAD_DEBUG=1 shows where)", EXIT_INTERNAL)


def _say(line: str, status: int) -> int:
    if os.environ.get("POLYHEAD_DEBUG") == "1":
        traceback.print_exc()
    # A name may hold a line break; what is said is one line all the same.
    print(line.replace("\n", "\\n"), file=sys.stderr)
    return status

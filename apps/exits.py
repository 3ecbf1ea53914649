"""How commands end: one clear line and an exit status, never a page of traceback unless it is asked for."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from polyhead.batch.outcome import NoInput

DONE, INTERNAL, USAGE, SOME_FAILED, NO_INPUT, INTERRUPTED = 0, 1, 2, 3, 4, 130


def run(app: Any) -> int:
    """Runs a command line and turns its end into an exit status.

    A `ValueError` is something that the user can mend: one line, status 2 (4 where nothing was found to work on).
    Anything else unforeseen is status 1; ``POLYHEAD_DEBUG=1`` shows where it came from.
    """
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else DONE if ended.code is None else USAGE
    except KeyboardInterrupt:
        return _say("interrupted; the same command goes on where it stopped", INTERRUPTED)
    except NoInput as nothing:
        return _say(f"error: {nothing}", NO_INPUT)
    except ValueError as wrong:
        return _say(f"error: {wrong}", USAGE)
    except Exception as failure:
        name = type(failure).__name__
        return _say(f"internal error: {name}: {failure} (POLYHEAD_DEBUG=1 shows where)", INTERNAL)
    return DONE


def _say(line: str, status: int) -> int:
    if os.environ.get("POLYHEAD_DEBUG") == "1":
        traceback.print_exc()
    print(line, file=sys.stderr)
    return status

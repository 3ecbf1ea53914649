"""`polyhead app`: the pages in a Streamlit server of their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from polyhead.application import RESEARCH_USE

HOME = Path(__file__).with_name("home.py")
STOP_SECONDS = 10.0


def serve(*, port: int, address: str, runs: Path | None, headless: bool) -> int:
    """Serves the pages until they are stopped; Ctrl-C and SIGTERM end the server and count as a good end.

    Args:
        port: port to listen on.
        address: address to listen on.
        runs: folder of the run folders; None leaves it to the environment, else ``runs`` in the working folder.
        headless: do not open a browser; none is opened either where nobody would see it.

    Returns:
        the exit status.

    Raises:
        ValueError: the port cannot be listened on, or `runs` is no folder.
    """
    from ui.runs import RUNS_VARIABLE
    from ui.server import command

    if runs is not None and not runs.is_dir():
        raise ValueError(f"--runs {runs}: there is no such folder")
    require_free(address, port)
    environment = dict(os.environ)
    if runs is not None:
        environment[RUNS_VARIABLE] = str(runs.resolve())
    print(f"polyhead: http://{'localhost' if address in ('', '0.0.0.0', '127.0.0.1') else address}:{port}")
    print(RESEARCH_USE, flush=True)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    # A session of its own: Ctrl-C comes here alone, and the server is ended once, by us.
    server = subprocess.Popen(
        command(HOME, port, address, headless or not _is_seen()),
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return _ended(server.wait())
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(server)
        signal.signal(signal.SIGTERM, previous)


def require_free(address: str, port: int) -> None:
    """Raises a `ValueError` where `port` of `address` cannot be listened on."""
    if not 0 < port < 65536:
        raise ValueError(f"--port {port}: ports go from 1 to 65535")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address or None, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        reason = f"cannot listen on port {port} of {address}: {error.strerror or error}"
        raise ValueError(f"{reason}; choose another with --port") from error


def _is_seen() -> bool:
    """Whether somebody sits at a terminal of a desktop: a service opens no browser, and no text browser is wanted."""
    desktop = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return desktop and sys.stdin is not None and sys.stdin.isatty()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _ended(status: int) -> int:
    if status:
        print(f"the server of the pages ended with status {status}; its words stand above", file=sys.stderr)
    return 1 if status else 0


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is not None:
        return
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()

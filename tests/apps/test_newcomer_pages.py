"""`polyhead app` in a home that has never seen Streamlit: no question, no terminal needed, a good end."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from apps.serve import _is_seen


@pytest.mark.parametrize("terminal", [False, True])
def test_the_pages_ask_no_question_and_need_no_terminal(tmp_path, terminal):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "DISPLAY": ":99", "BROWSER": "true"}
    command = [sys.executable, "-m", "apps.cli", "app", "--port", str(port), "--runs", str(tmp_path)]
    master, slave = pty.openpty()
    given = slave if terminal else subprocess.DEVNULL
    said = slave if terminal else subprocess.DEVNULL
    try:
        with subprocess.Popen(command, stdin=given, stdout=said, stderr=said, env=environment) as server:
            try:
                assert answers(f"http://127.0.0.1:{port}/_stcore/health", server)
            finally:
                server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
        told = os.read(master, 65536).decode() if terminal else ""
        assert "email" not in told.lower() and "Welcome to Streamlit" not in told
    finally:
        os.close(master)
        os.close(slave)


def answers(url, server):
    """Whether the server answers within half a minute, and lives."""
    for _ in range(150):
        if server.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.read() == b"ok"
        except OSError:
            time.sleep(0.2)
    return False


def test_a_browser_is_opened_for_somebody_at_a_desktop_only(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert _is_seen()
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert not _is_seen()
    monkeypatch.delenv("DISPLAY")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert not _is_seen()
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setenv("DISPLAY", ":0")
    assert not _is_seen()

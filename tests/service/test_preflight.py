"""What must hold before anything starts: one per data dir, a free port, an address that is safe, a writable folder."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service import preflight
from service.errors import StartRefused
from service.settings import Settings


def test_a_taken_port_is_refused_with_the_variable_to_set() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StartRefused, match=f"port {port} on 127.0.0.1 is taken.*POSTLUDE_PORT"):
            preflight.check_address(Settings(port=port))


def test_a_port_that_a_killed_predecessor_frees_in_time_is_not_refused() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    script = "import socket, sys, time; s = socket.socket(fileno=int(sys.argv[1])); time.sleep(0.5)"
    orphan = subprocess.Popen([sys.executable, "-c", script, str(listener.fileno())], pass_fds=[listener.fileno()])
    listener.close()
    preflight.check_address(Settings(port=port), patience_s=10)
    assert orphan.wait(10) == 0


def test_an_open_address_without_keys_is_refused() -> None:
    with pytest.raises(StartRefused, match="POSTLUDE_API_KEYS"):
        preflight.check_address(Settings(host="0.0.0.0", port=free_port()))
    preflight.check_address(Settings(host="0.0.0.0", port=free_port(), api_keys=("k",)))


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with pytest.raises(StartRefused, match=r"192\.0\.2\.1"):
        preflight.check_address(Settings(host="192.0.2.1", port=free_port(), api_keys=("k",)))


def test_a_data_dir_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StartRefused, match=r"cannot be written.*POSTLUDE_DATA_DIR"),
        preflight.only_one(Settings(data_dir=tmp_path / "file" / "data")),
    ):
        pass


def test_the_lock_is_released_at_the_end_and_no_pid_is_left(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with preflight.only_one(settings) as patience_s:
        assert patience_s == 0
        assert (tmp_path / "dev.lock").read_text() == f"{os.getpid()}\n"
    with (tmp_path / "dev.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert lock.read() == ""


def test_the_start_after_a_killed_one_waits_for_what_it_left_behind(tmp_path: Path) -> None:
    (tmp_path / "dev.lock").write_text("4194303\n")
    with preflight.only_one(Settings(data_dir=tmp_path)) as patience_s:
        assert patience_s > 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])

"""A real PgBouncer before a test's Postgres, where the machine has one."""

import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.reaper import end_with_us
from tests.support.servers import PostgresServer, wait_for

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
_PORT = 6432


@dataclass
class PgBouncer:
    """Listens on a Unix socket in `folder`."""

    folder: Path
    postgres: PostgresServer
    pool_mode: str
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        assert PGBOUNCER is not None
        user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None  # it refuses to run as root
        self.folder.mkdir()
        if user is not None:
            shutil.chown(self.folder, user)
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={self.postgres.folder} user=postgres\n[pgbouncer]\nlisten_addr =\n"
            f"unix_socket_dir = {self.folder}\nlisten_port = {_PORT}\nauth_type = any\npool_mode = {self.pool_mode}\n"
            f"logfile = {self.folder}/log\npidfile = {self.folder}/pid\n"
        )
        with (self.folder / "output").open("ab") as output:
            command = [PGBOUNCER, "-q", str(settings)]
            self.process = subprocess.Popen(command, user=user, stdout=output, stderr=output, start_new_session=True)
        end_with_us(self.process.pid, signal.SIGTERM)
        wait_for((self.folder / f".s.PGSQL.{_PORT}").exists, f"PgBouncer (see {self.folder}/output)")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    def url(self, name: str) -> str:
        return f"postgresql+asyncpg://postgres@/{name}?host={self.folder}&port={_PORT}"

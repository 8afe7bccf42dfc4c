"""`make arq-suite`: arq's own tests, first with arq's worker and then with Postlude's in its place.

Fails if Postlude's worker fails a test that arq's passes. `setup` makes the environment.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click

from tests.support.processes import free_port
from tests.support.servers import RedisServer

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORKERS = {"arq.worker.Worker": (), "service.worker.worker.Worker": ("-p", "postlude_worker")}


def main(venv: Path) -> None:
    stock, ours = (run(venv, name, options) for name, options in WORKERS.items())
    broken = sorted(test for test, outcome in stock.items() if outcome == "passed" and ours.get(test) != "passed")
    for name, outcomes in zip(WORKERS, (stock, ours), strict=True):
        click.echo(f"{name}: {tally(outcomes)}")
    if broken or "passed" not in stock.values():
        sys.exit("\n".join(["Only arq's own worker passes:", *broken]))


def run(venv: Path, name: str, options: tuple[str, ...]) -> dict[str, str]:
    """Run the suite on a fresh Redis; return the outcome of each test."""
    click.echo(f"\narq's suite with {name}")
    folder = Path(tempfile.mkdtemp(prefix="arq-"))
    port = free_port()
    server = RedisServer(folder / "redis", options=("--bind", "127.0.0.1", "--port", str(port)))
    server.start()
    report = folder / "report.xml"
    # The suite turns warnings into errors, and redis-py 5 warns of the `close()` that the suite calls.
    pytest = ["-m", "pytest", "-W", "default", "--disable-warnings", "-q", f"--junitxml={report}"]
    try:
        subprocess.run([venv / "bin/python", *pytest, *options], cwd=venv / "arq", env=environment(port), check=False)
        return outcomes_of(report)
    finally:
        server.stop()
        shutil.rmtree(folder)


def environment(port: int) -> Mapping[str, str]:
    """Leave out the time zone and settings of the person who runs this: the tests set their own."""
    path = os.pathsep.join(map(str, (HERE / "plugins", ROOT)))
    return {"PATH": os.environ["PATH"], "PYTHONPATH": path, "ARQ_SUITE_REDIS_PORT": str(port)}


def outcomes_of(report: Path) -> dict[str, str]:
    """Read pytest's report: a test that it says nothing about has passed."""
    return {
        f"{case.get('classname')}::{case.get('name')}": "passed" if len(case) == 0 else case[0].tag
        for case in ET.parse(report).iter("testcase")
    }


def tally(outcomes: Mapping[str, str]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(outcomes.values()).items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())

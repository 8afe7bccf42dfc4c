"""Commands of features are there when they are asked for, and cost nothing until then."""

import subprocess
import sys

from click.testing import CliRunner

from service.cli import postlude
from service.commands.featured import Featured


def test_commands_of_a_feature_are_listed_with_their_help() -> None:
    assert "The audit log: verify" in CliRunner().invoke(postlude, ["--help"]).output
    told = CliRunner().invoke(postlude, ["audit-log", "--help"]).output
    assert all(f"\n  {command} " in told for command in ("verify", "export", "head", "prune"))
    assert "Works on the ledger's database" in told


def test_help_loads_no_feature() -> None:
    script = "import sys; from service.cli import postlude; postlude(['--help'], standalone_mode=False)"
    script += "; sys.exit(bool({'sqlalchemy', 'service.features'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False, capture_output=True).returncode == 0


def test_without_the_feature_there_are_none() -> None:
    group = Featured("gone", "no_such_feature", "Gone.")
    assert CliRunner().invoke(group, ["anything"]).exit_code == 2

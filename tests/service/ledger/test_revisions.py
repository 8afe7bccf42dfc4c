from alembic.script import ScriptDirectory

from service.ledger.migrate import _config
from service.ledger.revisions import revisions_in
from service.ledger.schema import VERSIONS


def test_revisions_are_those_that_alembic_finds() -> None:
    known = [script.revision for script in ScriptDirectory.from_config(_config(VERSIONS)).walk_revisions()]
    assert list(revisions_in(VERSIONS)) == known
    assert len(known) > 10

import json

from sqlalchemy import update

from service.ledger.final_json import final_json
from service.ledger.ledger import Ledger
from service.ledger.models import Failure
from service.ledger.states import Outcome, State
from service.tables import jobs
from service.web.jobs.job_out import JobOut
from tests.service.ledger.makers import finish, job_row, running
from tests.support.writing import writing

# Fields kept beside the job's row, about what it waits for, or about its sender or reader.
LEFT_OUT = {"attempts", "waiting_for", "steps", "checkpoint", "callbacks", "blocked_by", "after"}
LEFT_OUT |= {"enqueued_by", "args_hidden"}


async def test_the_final_json_has_the_names_and_values_of_a_job_that_is_shown(ledger: Ledger) -> None:
    fields = {"tags": ("a",), "metadata": '{"of": "x"}', "args": '{"n": 1.5}'}
    started = await running(ledger, **fields, priority=3)
    failure = Failure("ValueError", "no")
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).values(kind_lane="host:x"))
    await ledger.finish(finish(started, Outcome.FAILED, State.FAILED, failures=1, failure=failure))
    row = await job_row(ledger, started.id)
    final = json.loads(final_json(row))
    shown = JobOut.of_row(row, None, None).model_dump(mode="json", exclude=LEFT_OUT)
    assert final == {"flow": None, **shown}

"""The commands for a running service, which they call over its HTTP API: `postlude jobs ...`, `postlude flows ...`.

jobs.py      the commands for jobs, and their options
changing.py  the commands that change jobs which have not started
lanes.py     the commands for lanes
flows.py     the commands for flows
operations.py    the commands for operations on many jobs
schedules.py     the commands for schedules
secrets.py   which keys have sealed the stored secrets, and their rotation
job_options.py   the options that select jobs
tail.py      following one job, or every new one
reaching.py  what they share: the service's address, lists, and errors as one sentence
remote.py    the service as the commands call it; every refusal is a sentence
answers.py   the shapes of the API's answers
text.py      jobs as a person reads them, with nothing in them that a terminal would obey
lane_text.py lanes as a person reads them
flow_text.py flows as a person reads them
imports.py   the targets of imports, and the tables that they need in other databases
operation_text.py operations as a person reads them
schedule_text.py schedules as a person reads them
"""

"""The commands for a running service, which they reach over its HTTP API: `postlude jobs ...`, `postlude lanes ...`.

jobs.py      the commands for jobs, and their options
lanes.py     the commands for lanes
tail.py      following one job, or every new one
reaching.py  what all of them have: where the service is, and an end with a sentence
remote.py    the service as the commands call it; every refusal is a sentence
answers.py   the shapes of the API's answers
text.py      jobs as a person reads them, with nothing in them that a terminal would obey
lane_text.py lanes as a person reads them
"""

"""The commands for a running service, which they reach over its HTTP API: `postlude jobs ...`.

jobs.py    the commands and their options
tail.py    following one job, or every new one
remote.py  the service as the commands call it; every refusal is a sentence
answers.py the shapes of the API's answers
text.py    jobs as a person reads them, with nothing in them that a terminal would obey
"""

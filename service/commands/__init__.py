"""What a person does from the command line to a service that runs, over its HTTP API: `postlude jobs ...`.

jobs.py    the commands and their options
tail.py    following one job, or what is new
remote.py  the service as the commands call it; each way of being refused is a sentence
text.py    jobs as a person reads them, with nothing in them that a terminal would obey
"""

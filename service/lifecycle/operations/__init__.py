"""Operations: one action on all jobs that match a filter, page by page, each page with its count in one transaction.

operations.py  accepts, finds, stops, hands over and carries out operations
runner.py      goes through the members of one operation, starting at its cursor
walk.py        reads the members, without ever looking at many more jobs than a page has
deeds.py       what each action does to a page of members: replay, cancel, delete
changing.py    the same for change and run_now
bulk_replay.py replays that a request of POST /v1/jobs/replay carries out itself while it has time
pace.py        limits the members per second
job_filter.py  which jobs a request means
"""

"""Operations: one action on all jobs that match a filter, page by page, each page with its count in one transaction.

operations.py  accepts, finds, stops and hands over operations, and carries them out
runner.py      goes through the members of one operation, from where its cursor is
walk.py        reads the members, never looking at many more jobs than a page has
deeds.py       what each action does to a page of members: replay, cancel, delete
changing.py    the same for change and run_now
bulk_replay.py replays that a request of POST /v1/jobs/replay carries out itself, for as long as it has
pace.py        as many members a second as were asked for
job_filter.py  which jobs a request means
"""

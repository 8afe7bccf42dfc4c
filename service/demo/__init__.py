"""`postlude demo`: a believable day in an empty ledger, to look at and to take away again.

command.py    the command
filling.py    fills the ledger: lanes first, so that nothing is ever sent, then job after job
removing.py   takes all of it away
story.py      a job with its attempts, as they are told before they are recorded
day.py        the jobs of a day, at random, the same each time
troubles.py   what fails in it, and how that looks
waiting.py    what has not ended: held, paused, scheduled
flows.py      three flows: one done, one under way, one failed
staff.py      the workers of the day, and a deploy
recording.py  writes stories down, each whole, by the ledger's own records
figures.py    the minutes, levels and durations of it all
schedules.py  schedules with their ticks
operations.py operations, and what operators did

All times lie in the past, all hosts end with .example.com, and every job that has not ended waits in a held lane.
"""

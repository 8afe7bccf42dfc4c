"""The machinery for declaring kinds.

declaration.py  `@job`; job_options.py checks its options
signature.py    the function: the model of its args, and its result
function_args.py  a function's own parameters as args
refused.py      why a declaration is refused
fields.py       fields that would keep any job from running as sent
kind.py         a kind: accepts args, writes them, reads them back
catalogue.py    all kinds by name
context.py      what an attempt is given; thread_context.py: in the thread of a `def`
lane.py         jobs that share limits
outcomes.py     how an attempt may end; retry.py says when to retry
round_trip.py   args must survive JSON: proof.py says which certainly do, difference.py compares the others
hidden.py       a project's own `jobs` or `service`, which ours hide
keys.py         keys that would become one when read
names.py        names that the model does not know
sealing.py      secrets in args, kept for the attempt; masking.py removes them from text that others wrote
times.py        times in JSON
http_errors.py  the errors of `Context.http`
"""

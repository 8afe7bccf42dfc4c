"""Why a call did not succeed: the classes whose names are the recorded error types.

Retry
├── NoAnswer, HttpStatusError   as for webhooks (`jobs.webhook.failures`); for the statuses 408, 425, 429 and 5xx
└── AnswerUnexpected    the status was expected, its JSON was not
Discard
└── StatusRefused       any other status that was not expected: it would be the same next time
"""

from jobs.kit.outcomes import Discard, Retry


class AnswerUnexpected(Retry):
    answered = True


class StatusRefused(Discard):
    answered = True

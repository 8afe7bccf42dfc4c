"""Why a push was not sent: the classes whose names are the recorded error types.

Retry
├── NoAnswer, HttpStatusError   as for webhooks (`jobs.webhook.failures`)
├── NotSetUp            the settings have no account to send from
├── NotReachable        the settings name an address that they do not allow
├── NoAccessToken       Google gave no access token
├── SenderRefused       401, 403, 404: Firebase does not know the project, or does not let us send
├── PlatformRefused     Firebase's own key for Apple or the browser is refused there
├── NotFcm              it answered 200, but not as Firebase does
└── NobodyTold          the token is dead, and the job for `on_dead_token` cannot be enqueued
Discard
├── DeadToken           no message will ever reach this token or subscription
└── PushRefused         the message or the subscription is not valid
"""

from datetime import timedelta

from jobs.kit.outcomes import Discard, Retry


class NotSetUp(Retry):
    answered = False  # for the breaker: no message can be sent


class NotReachable(Retry):
    answered = False


class NoAccessToken(Retry):
    def __init__(self, message: str, *, hold_lane: timedelta) -> None:
        super().__init__(message, hold_lane=hold_lane)


class SenderRefused(Retry):
    answered = False


class PlatformRefused(Retry):
    answered = True


class NotFcm(Retry):
    answered = False


class NobodyTold(Retry):
    answered = True


class DeadToken(Discard):
    answered = True


class PushRefused(Discard):
    answered = True

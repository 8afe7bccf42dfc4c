"""Why a mail did not reach somebody: the types that jobs and attempts show as their error.

`…Deferred` and the server's own troubles pass, so the mail is tried again; `…Refused` is the server's final word.
"""

from jobs.kit.outcomes import Discard, Retry


class MailServerUnreachable(Retry):
    """There is no connection, or it broke before the message was sent, or the server does not want it now."""


class MailTlsFailed(Retry):
    """There is no TLS although the settings require it, or nobody vouches for the certificate."""


class MailLoginFailed(Retry):
    """The credentials in the settings are wrong, missing or unwanted, until somebody corrects them."""


class DeliveryUnknown(Retry):
    """The connection broke after the message was sent: the server may have taken it."""


class SenderDeferred(Retry): ...


class RecipientsDeferred(Retry): ...


class MessageDeferred(Retry): ...


class SenderRefused(Discard): ...


class RecipientsRefused(Discard): ...


class MessageRefused(Discard): ...

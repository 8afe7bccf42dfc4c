"""Why a mail did not reach somebody: the types that jobs and attempts show as their error.

`…Deferred` and the mail server's own troubles pass, and are tried again; `…Refused` is the server's final word.
"""

from jobs.kit.outcomes import Discard, Retry


class MailServerUnreachable(Retry):
    """No connection, or one that broke before the message was sent, or that the server does not want now."""


class MailTlsFailed(Retry):
    """No TLS, although the settings require it, or a certificate that nobody vouches for."""


class MailLoginFailed(Retry):
    """Wrong, missing or unwanted credentials: the settings' fault, which somebody will mend."""


class DeliveryUnknown(Retry):
    """The connection broke after the message was sent: the server may have taken it."""


class SenderDeferred(Retry): ...


class RecipientsDeferred(Retry): ...


class MessageDeferred(Retry): ...


class SenderRefused(Discard): ...


class RecipientsRefused(Discard): ...


class MessageRefused(Discard): ...

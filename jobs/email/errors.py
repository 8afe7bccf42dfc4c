"""Why a mail did not reach somebody: the types that jobs and attempts show as their error.

`…Deferred` and the server's own troubles pass, so the mail is retried; `…Refused` is the server's final word.
"""

from jobs.kit.outcomes import Discard, Retry


class TransportFailed(Retry):
    """No mail at all can be handed over at present, which the breaker of the transport's lane is told."""

    answered = False


class Deferred(Retry):
    answered = True


class Refused(Discard):
    answered = True


class MailServerUnreachable(TransportFailed):
    """There is no connection, or it broke before the message was sent, or the server does not want it now."""


class MailTlsFailed(TransportFailed):
    """There is no TLS although the settings require it, or the certificate is not trusted."""


class MailLoginFailed(TransportFailed):
    """The credentials in the settings are wrong, missing or unwanted, and somebody must correct them."""


class DeliveryUnknown(TransportFailed):
    """The connection broke after the message was sent: the server may have taken it."""


class SenderDeferred(Deferred): ...


class RecipientsDeferred(Deferred): ...


class MessageDeferred(Deferred): ...


class SenderRefused(Refused): ...


class RecipientsRefused(Refused): ...


class MessageRefused(Refused): ...

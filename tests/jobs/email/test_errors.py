import pytest

from jobs.email.errors import MailServerUnreachable, MessageDeferred, RecipientsRefused
from service.worker.performing import outcome


@pytest.mark.parametrize(
    ("error", "answered"),
    [
        (MailServerUnreachable("refused"), False),
        (RecipientsRefused("nobody"), True),
        (MessageDeferred("greylisted"), True),
    ],
)
def test_errors_tell_the_breaker_whether_the_mail_server_answers(error: Exception, answered: bool) -> None:
    assert outcome.of_error(error).sign.answered is answered

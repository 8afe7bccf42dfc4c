import os
import smtplib
from email.message import EmailMessage


def deliver(to: str, subject: str, text: str) -> None:
    message = EmailMessage()
    message["From"] = "hello@shop.example"
    message["To"] = to
    message["Subject"] = subject
    message.set_content(text)
    with smtplib.SMTP("127.0.0.1", int(os.environ["SMTP_PORT"]), timeout=10) as server:
        server.send_message(message)


def send_welcome(email: str, name: str = "you") -> None:
    deliver(email, f"Welcome, {name}", "Good to have you here.")


async def send_reset(email: str, code: str) -> None:
    deliver(email, "Your new password", f"Your code is {code}.")


def tell_staff(email, subject="Somebody signed up"):  # type: ignore[no-untyped-def]
    """Has no annotations, as much code has none."""
    deliver("staff@shop.example", subject, email)

"""`send_push`: a message to phones and browsers through Firebase. `send_web_push`: one straight to a browser."""

from jobs.push.args import SendPushArgs, SendWebPushArgs
from jobs.push.kind import send_push
from jobs.push.web_kind import send_web_push

__all__ = ["SendPushArgs", "SendWebPushArgs", "send_push", "send_web_push"]

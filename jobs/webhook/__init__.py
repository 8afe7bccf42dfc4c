"""`send_webhook`: posts an event to a URL, signed by the rules of Standard Webhooks."""

from jobs.webhook.kind import SendWebhookArgs, send_webhook

__all__ = ["SendWebhookArgs", "send_webhook"]

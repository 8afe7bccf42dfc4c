"""`send_webhook`: posts an event to a URL, signed as Standard Webhooks asks."""

from jobs.webhook.kind import SendWebhookArgs, send_webhook

__all__ = ["SendWebhookArgs", "send_webhook"]

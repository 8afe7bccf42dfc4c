"""The push feature: the accounts that `send_push` and `send_web_push` send from."""

from service.feature import Feature
from service.push.capability import open_push

FEATURE = Feature("push", capability=open_push)

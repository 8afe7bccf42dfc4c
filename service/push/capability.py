"""What `send_push` and `send_web_push` ask for: the accounts that pushes are sent from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from jobs.push.accounts import Fcm, PushAccounts, Vapid
from jobs.push.failures import NotSetUp
from service.feature import Capabilities
from service.ledger.ledger import Ledger
from service.push.fcm_project import FcmProject
from service.push.service_account import read_service_account
from service.push.vapid_key import VapidKey
from service.settings import Settings


@dataclass(frozen=True)
class SetUp:
    """The accounts in the settings; see `jobs.push.accounts.PushAccounts`."""

    project: Fcm | None
    key: Vapid | None

    @property
    def fcm(self) -> Fcm:
        if self.project is None:
            raise NotSetUp("POSTLUDE_FCM_CREDENTIALS is not set where the workers run")
        return self.project

    @property
    def vapid(self) -> Vapid:
        if self.key is None:
            raise NotSetUp("POSTLUDE_VAPID_PRIVATE_KEY is not set where the workers run")
        return self.key


@asynccontextmanager
async def open_push(settings: Settings, ledger: Ledger) -> AsyncIterator[Capabilities]:
    """Read the accounts, without asking anybody yet. Raises `StartRefused`."""
    yield {PushAccounts: set_up(settings)}


def set_up(settings: Settings) -> SetUp:
    """Read the accounts. Raises `StartRefused`."""
    return SetUp(_project(settings), _key(settings))


def _project(settings: Settings) -> Fcm | None:
    if settings.fcm_credentials is None:
        return None
    account = read_service_account(settings.fcm_credentials.get_secret_value())
    return FcmProject(account, base_url=settings.fcm_url, token_url=settings.fcm_token_url)


def _key(settings: Settings) -> Vapid | None:
    if settings.vapid_private_key is None:
        return None
    assert settings.vapid_subject is not None
    return VapidKey.read(settings.vapid_private_key.get_secret_value(), settings.vapid_subject)

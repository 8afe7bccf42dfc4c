"""What a process holds of its features: their hooks, joined, and their capabilities, open while attempts may run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from jobs import Catalogue
from jobs.kit.context import FeatureMissing, Mailer
from jobs.kit.files import FilesOfJobs
from service.feature import Capabilities, Feature
from service.features import FEATURES
from service.hooks import Hooks
from service.job_resources import open_job_resources
from service.ledger.ledger import Ledger
from service.resources import open_resources
from service.settings import Settings
from tests.support.fakes import fake_context


class Toys: ...


def settings_in(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1")


async def test_hooks_of_all_features_are_joined_in_their_order(tmp_path: Path) -> None:
    def first(app: ASGIApp) -> ASGIApp:
        return app

    def second(app: ASGIApp) -> ASGIApp:
        return app

    features = [Feature(str(number), hooks=Hooks(requests=(hook,))) for number, hook in enumerate((first, second))]
    async with open_resources(settings_in(tmp_path), Catalogue({}), features=features) as resources:
        assert resources.hooks.requests == (first, second)


async def test_capabilities_are_open_while_attempts_may_run_and_closed_after(tmp_path: Path) -> None:
    log = []

    @asynccontextmanager
    async def open_toys(settings: Settings, ledger: Ledger) -> AsyncIterator[Capabilities]:
        log.append("opened")
        yield {Toys: "toys"}
        log.append("closed")

    features = [Feature("plain"), Feature("toys", capability=open_toys)]
    async with open_resources(settings_in(tmp_path), Catalogue({}), features=features) as resources:
        async with open_job_resources(resources) as job_resources:
            assert job_resources.capabilities == {Toys: "toys"}
            assert log == ["opened"]
        assert log == ["opened", "closed"]


async def test_features_of_the_product_offer_a_mailer_and_files(tmp_path: Path) -> None:
    async with (
        open_resources(settings_in(tmp_path), Catalogue({}), features=FEATURES) as resources,
        open_job_resources(resources) as job_resources,
    ):
        assert {Mailer, FilesOfJobs} <= job_resources.capabilities.keys()


def test_kind_that_asks_for_what_no_feature_offers_is_told_which_is_missing() -> None:
    context = replace(fake_context(), capabilities={})
    with pytest.raises(FeatureMissing, match=r"No Mailer here: the feature `mail` is not in service/features\.py"):
        _ = context.mailer
    with pytest.raises(FeatureMissing, match="No FilesOfJobs here: the feature `files`"):
        _ = context.files
    with pytest.raises(FeatureMissing, match="No Toys here"):
        context.capability(Toys)

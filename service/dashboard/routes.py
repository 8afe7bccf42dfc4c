"""All pages: a page is registered here, by its router."""

from fastapi import APIRouter

from service.dashboard import assets, audit, find, keys, queues, sign_in, stream, users
from service.dashboard.failures import routes as failures
from service.dashboard.flows import routes as flows
from service.dashboard.job import actions, job
from service.dashboard.jobs import bulk_routes, export, jobs
from service.dashboard.kinds import routes as kinds
from service.dashboard.lanes import routes as lanes
from service.dashboard.operations import routes as operations
from service.dashboard.overview import overview
from service.dashboard.schedules import routes as schedules
from service.dashboard.workers import routes as workers
from service.features import FEATURES

router = APIRouter(include_in_schema=False)
_OF_JOBS = (jobs, bulk_routes, export, job, actions)
for module in (assets, sign_in, stream, find, overview, *_OF_JOBS, keys, users, audit):
    router.include_router(module.router)
# Pages with actions, which need another scope.
for acting in (failures, flows, kinds, lanes, operations, queues, schedules, workers):
    router.include_router(acting.router)
    router.include_router(acting.actions)
router.include_router(kinds.forms)
router.include_router(sign_in.back)
for feature in FEATURES:
    if feature.pages is not None:
        router.include_router(feature.pages.router())

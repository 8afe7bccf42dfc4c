"""Completes the OpenAPI document: FastAPI knows nothing of bodies that routes parse themselves, events and problems."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter

from service.api.jobs.actions import ReplayRequest
from service.api.jobs.bulk_replay import BulkReplayRequest
from service.api.jobs.event_reader import ProgressEvent, StateEvent
from service.requests.change_requests import ChangeRequest
from service.requests.operation_requests import OperationRequest, RateRequest
from service.requests.requests import Requests
from service.requests.schedule_requests import PauseOfSchedule, ScheduleRequests
from service.web.key_requests import KeyChange, KeyRequest, RotateRequest
from service.web.lane_requests import LaneRequest, PauseRequest
from service.web.problems import Problem


def install(app: FastAPI, requests: Requests, schedule_requests: ScheduleRequests) -> None:
    """Add our components to the document of `app`, which is made when it is first requested."""
    make_schema = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = make_schema()
            schemas = app.openapi_schema.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(components(requests, schedule_requests))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema


def components(requests: Requests, schedule_requests: ScheduleRequests) -> dict[str, Any]:
    """Return the schema of each model under its name, with the schemas that it refers to."""
    models: tuple[type[BaseModel], ...] = (
        Problem,
        BulkReplayRequest,
        ChangeRequest,
        KeyChange,
        KeyRequest,
        RotateRequest,
        LaneRequest,
        PauseRequest,
        OperationRequest,
        PauseOfSchedule,
        RateRequest,
        ReplayRequest,
        StateEvent,
        ProgressEvent,
    )
    adapters: dict[str, TypeAdapter[Any]] = {model.__name__: TypeAdapter(model) for model in models}
    adapters |= {"EnqueueRequest": requests.one, "BatchRequest": requests.whole_batch}
    adapters["FlowRequest"] = requests.whole_flow
    adapters["ScheduleRequest"] = schedule_requests.one
    described: dict[str, Any] = {}
    for name, adapter in adapters.items():
        schema = adapter.json_schema(ref_template="#/components/schemas/{model}")
        described |= {**schema.pop("$defs", {}), name: schema}
    return described

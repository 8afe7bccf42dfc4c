"""The OpenAPI document: whole, and true to what is answered."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

import jobs
from service.settings import Settings
from tests.support.apps import made_app

METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return made_app(Settings(log_level="WARNING")).openapi()


def values(node: Any, name: str) -> Iterator[Any]:
    """Walk through a document for all values of the key `name`."""
    if isinstance(node, dict):
        if name in node:
            yield node[name]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from values(child, name)


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    references = set(values(document, "$ref"))
    assert references
    for reference in references:
        node = document
        assert reference.startswith("#/"), reference
        for part in reference[2:].split("/"):
            assert part in node, reference
            node = node[part]
    mappings = [one["mapping"] for one in values(document, "discriminator") if "mapping" in one]
    assert mappings
    for mapping in mappings:
        assert set(mapping.values()) <= references


def test_document_has_the_form_that_openapi_asks_for(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Postlude"
    assert document["info"]["version"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in document["components"]["schemas"])
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", one) for one in ids), ids
    for (method, path), operation in operations(document).items():
        declared = [(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", [])]
        assert len(declared) == len(set(declared)), (method, path)
        assert {name for where, name in declared if where == "path"} == set(re.findall(r"\{(\w+)\}", path))
        assert operation["responses"]
        assert all(response["description"] for response in operation["responses"].values())
        assert all("schema" in parameter for parameter in operation.get("parameters", []))


def test_every_kind_is_told_apart_by_its_name_and_shows_its_args(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    request = schemas["EnqueueRequest"]
    assert request["discriminator"]["propertyName"] == "kind"
    catalogue = jobs.load()
    assert set(request["discriminator"]["mapping"]) == set(catalogue)
    for name, kind in catalogue.items():
        one = schemas[request["discriminator"]["mapping"][name].rpartition("/")[2]]
        assert one["properties"]["kind"]["const"] == name
        args = schemas[one["properties"]["args"]["$ref"].rpartition("/")[2]]
        assert set(args["properties"]) == set(kind.args_schema["properties"])
    assert schemas["BatchRequest"]["properties"]["jobs"]["maxItems"] == 10_000


def test_both_ways_to_enqueue_show_their_body_and_the_idempotency_key(document: dict[str, Any]) -> None:
    for path, schema in (("/v1/jobs", "EnqueueRequest"), ("/v1/jobs/batch", "BatchRequest")):
        operation = document["paths"][path]["post"]
        body = operation["requestBody"]
        assert body["required"]
        assert body["content"]["application/json"]["schema"]["$ref"] == f"#/components/schemas/{schema}"
        assert ("header", "Idempotency-Key") in {(one["in"], one["name"]) for one in operation["parameters"]}
    assert {"200", "202", "400", "401", "403", "409", "413", "415", "421", "422", "503", "507"} == set(
        document["paths"]["/v1/jobs"]["post"]["responses"]
    )


def test_every_error_of_v1_is_shown_as_a_problem(document: dict[str, Any]) -> None:
    for (method, path), operation in operations(document).items():
        if not path.startswith("/v1"):
            continue
        errors = {status: one for status, one in operation["responses"].items() if int(status) >= 400}
        assert "401" in errors, (method, path)
        for status, error in errors.items():
            problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
            assert error["content"] == problem, (method, path, status)


def test_refusals_at_the_door_are_shown_wherever_they_happen(document: dict[str, Any]) -> None:
    for (method, path), operation in operations(document).items():
        statuses = set(operation["responses"])
        assert ("421" in statuses) == (path not in {"/healthz", "/readyz"}), (method, path)
        assert ("403" in statuses) == (path.startswith("/v1")), (method, path)
        assert ("415" in statuses) == ("requestBody" in operation), (method, path)


def test_each_error_is_described_with_its_types(document: dict[str, Any]) -> None:
    described = document["paths"]["/v1/jobs"]["post"]["responses"]["422"]["description"]
    for name in ("kind-unknown", "args-invalid", "queue-unknown", "idempotency-key-reused"):
        assert f"`urn:postlude:problem:{name}`" in described
    assert (
        "urn:postlude:problem:unauthorized" in document["paths"]["/v1/kinds"]["get"]["responses"]["401"]["description"]
    )


def test_every_time_is_a_date_time(document: dict[str, Any]) -> None:
    schemas = [*document["components"]["schemas"].values()]
    members = [(name, one) for schema in schemas for name, one in schema.get("properties", {}).items()]
    queries = [
        (parameter["name"], parameter["schema"])
        for operation in operations(document).values()
        for parameter in operation.get("parameters", [])
    ]
    times = [(name, one) for name, one in [*members, *queries] if re.search(r"(_at|_after|_before)$|^at$", name)]
    assert {name for name, _ in times} >= {"run_at", "created_at", "finished_at", "started_at", "at", "expires_at"}
    for name, one in times:
        texts = [way for way in [one, *one.get("anyOf", [])] if way.get("type") == "string"]
        assert [way.get("format") for way in texts] == ["date-time"], name


def test_events_are_described_as_a_stream_of_events(document: dict[str, Any]) -> None:
    content = document["paths"]["/v1/jobs/{job_id}/events"]["get"]["responses"]["200"]["content"]
    assert list(content) == ["text/event-stream"]
    event = content["text/event-stream"]["itemSchema"]
    assert event["properties"]["event"]["enum"] == ["state", "progress", "log"]
    shown = [one["$ref"].rpartition("/")[2] for one in event["properties"]["data"]["contentSchema"]["oneOf"]]
    assert shown == ["StateEvent", "ProgressEvent", "LineOut"]


def test_calls_of_the_contract_are_there(document: dict[str, Any]) -> None:
    assert {
        ("post", "/v1/jobs"),
        ("post", "/v1/jobs/batch"),
        ("get", "/v1/jobs"),
        ("get", "/v1/jobs/{job_id}"),
        ("post", "/v1/jobs/{job_id}/cancel"),
        ("post", "/v1/jobs/{job_id}/replay"),
        ("post", "/v1/jobs/replay"),
        ("get", "/v1/jobs/{job_id}/events"),
        ("post", "/v1/jobs/{job_id}/events/tickets"),
        ("get", "/v1/kinds"),
        ("get", "/v1/stats"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
    } <= set(operations(document))

"""Anything at all sent to any page: an answer that the interface describes, never a fault of the hub.

schemathesis makes the requests from the OpenAPI description. The fields that a page reads are taken from its
source, so that what is sent reaches further than the first check of a form.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

import schemathesis
from console_people import Console, received
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient

_FIELD = re.compile(r"""visit\.(?:form|forms|query)(?:\.get\(|\[)\s*["'](\w+)["']""")
# their own tests send them anything
_PLACES = ("/healthz", "/metrics", "/static", "/dicomweb", "/fhir", "/feed")


def described(app: FastAPI) -> dict[str, Any]:
    """Return the description of the interface, with the fields of forms and queries."""
    schema = app.openapi()
    fields: dict[str, set[str]] = {}
    for route in app.routes:
        endpoint = getattr(route, "endpoint", None)
        page = inspect.getclosurevars(endpoint).nonlocals.get("page") if endpoint is not None else None
        if page is not None:
            source = inspect.getsource(sys.modules[page.__module__])
            fields[route.path] = set(_FIELD.findall(source))  # type: ignore[attr-defined]
    text = {"type": "string", "maxLength": 40}
    for path, methods in list(schema["paths"].items()):
        if path.startswith(_PLACES):
            del schema["paths"][path]
            continue
        names = sorted(fields.get(path, ()))
        for method, operation in methods.items():
            if method == "post":
                properties = dict.fromkeys(names, text)
                body = {"schema": {"type": "object", "properties": properties}}
                operation["requestBody"] = {"content": {"application/x-www-form-urlencoded": body}}
            else:
                extra = [{"name": n, "in": "query", "schema": text} for n in names]
                operation["parameters"] = operation.get("parameters", []) + extra
    return schema


def test_anything_is_answered(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()  # what is sent may change anything
    received(console.project)
    someone = console.as_("analyst", "approver", "admin", "auditor", name="anything")
    schema = schemathesis.openapi.from_dict(described(console.app._app))
    client: TestClient = someone.client
    seen = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith("/events"):
            continue  # goes on until somebody leaves
        seen += 1

        @settings(
            max_examples=2,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            wanted = case.as_transport_kwargs(base_url=console.base)
            wanted["headers"] = {"X-CSRF-Token": someone.csrf}
            wanted.pop("cookies", None)
            answer = client.request(follow_redirects=False, **wanted)
            where = f"{case.method} {case.formatted_path}"
            assert answer.status_code < 500 or answer.status_code == 503, where
            documented = case.operation.definition.raw["responses"]
            assert str(answer.status_code) in documented, (where, answer.status_code)

        ask()
    assert seen >= 100

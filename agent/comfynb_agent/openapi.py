"""The OpenAPI document of the agent's routes, made from the same tables as what they answer."""

from collections.abc import Iterable
from typing import Any

from . import SCHEMA_VERSION, __version__
from .fields import DISK, GPU, HOST, PROCESS, QUEUE, SUMMARY, Field
from .openmetrics import CONTENT_TYPE
from .settings import LONGEST_INTERVAL, SHORTEST_INTERVAL

__all__ = ["document"]

Schema = dict[str, Any]


def document(prefix: str) -> Schema:
    """Return the document for routes under ``prefix``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "comfynb agent",
            "version": __version__,
            "license": {"name": "MIT", "identifier": "MIT"},
            "description": "What the GPUs, memory, disks and queue of a ComfyUI machine do. "
            "Reading is all that can be done. A value of null is not known; `missing` says why.",
        },
        "paths": {
            f"{prefix}/metrics.json": _path(
                "One snapshot of everything", "application/json", {"$ref": _ref("Snapshot")}
            ),
            f"{prefix}/metrics": _path(
                "The same as OpenMetrics text", CONTENT_TYPE, {"type": "string"}
            ),
            f"{prefix}/metrics/stream": _path(
                "Snapshots as server-sent events; a client that reads too slowly misses some",
                "text/event-stream",
                {"type": "string", "description": "Each event's data is one Snapshot."},
                parameters=[_interval()],
                codes={"400": "The interval is none", "503": "Too many streams are open"},
            ),
            f"{prefix}/openapi.json": _path(
                "This document", "application/json", {"type": "object"}
            ),
        },
        "components": {
            "schemas": {
                "Snapshot": _snapshot(),
                "Gpu": _object(GPU),
                "Process": _object(PROCESS),
                "Host": _object(HOST),
                "Disk": _object(DISK),
                "Queue": _object(QUEUE),
                "Agent": _agent(),
                "Error": {
                    "type": "object",
                    "properties": {"error": {"type": "string"}},
                    "required": ["error"],
                    "additionalProperties": False,
                },
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # Where only this machine can reach the agent, no token is asked for.
        "security": [{"token": []}, {}],
    }


def _ref(name: str) -> str:
    return f"#/components/schemas/{name}"


def _path(
    summary: str,
    content_type: str,
    schema: Schema,
    *,
    parameters: Iterable[Schema] = (),
    codes: dict[str, str] | None = None,
) -> Schema:
    refusals = {
        "401": "The token is missing or wrong",
        "403": "Asked by a page of another site, or a token is needed that nobody has set",
        **(codes or {}),
    }
    error = {"application/json": {"schema": {"$ref": _ref("Error")}}}
    return {
        "get": {
            "summary": summary,
            "parameters": list(parameters),
            "responses": {
                "200": {"description": summary, "content": {content_type: {"schema": schema}}},
                **{code: {"description": why, "content": error} for code, why in refusals.items()},
            },
        }
    }


def _interval() -> Schema:
    return {
        "name": "interval",
        "in": "query",
        "description": "Seconds between two snapshots.",
        "schema": {
            "type": "number",
            "minimum": SHORTEST_INTERVAL,
            "maximum": LONGEST_INTERVAL,
            "default": 1.0,
        },
    }


def _object(fields: Iterable[Field], **more: Schema) -> Schema:
    properties = {field.key: _property(field) for field in fields} | more
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _property(field: Field) -> Schema:
    schema: Schema = {"type": [field.type, "null"] if field.nullable else field.type}
    if field.items == "process":
        schema["items"] = {"$ref": _ref("Process")}
    elif field.items:
        schema["items"] = {"type": field.items}
    return {**schema, "description": field.description}


def _snapshot() -> Schema:
    schema = _object(
        SUMMARY,
        gpus={"type": "array", "items": {"$ref": _ref("Gpu")}},
        host={"$ref": _ref("Host")},
        disks={"type": "array", "items": {"$ref": _ref("Disk")}},
        comfyui={"$ref": _ref("Queue")},
        agent={"$ref": _ref("Agent")},
        missing={
            "type": "array",
            "items": {"type": "string"},
            "description": "What could not be read, in sentences.",
        },
    )
    schema["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return schema


def _agent() -> Schema:
    properties = {
        "version": {"type": "string"},
        "mode": {"type": "string", "enum": ["standalone", "comfyui"]},
        "pid": {"type": "integer"},
        "started": {"type": "string", "description": "When the agent began, RFC 3339, UTC."},
        "driver_version": {"type": ["string", "null"], "description": "NVIDIA's driver."},
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }

"""Routes of sessions: a page starts one, asks for its state, and sends events."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pixq.http.body import read_body
from pixq.http.error_handlers import error_response
from pixq.http.errors import RequestError
from pixq.study.server.limits import Limits
from pixq.study.server.services import StoredSize, bearer_token, retry_after, services_of
from pixq.study.session.parse_event import parse_event
from pixq.study.session.service import UnexpectedEvent
from pixq.study.session.signatures import KeysUnavailable
from pixq.study.store.keys import hash_token
from pixq.study.store.records import (
    DatabaseUnavailable,
    Event,
    EventConflict,
    MissingEvents,
    UnknownSession,
    UnstorableText,
)

__all__ = ["ERROR_HANDLERS", "ROUTES", "UNVERIFIED"]

#: The kind of the failure that the platform's keys can't be loaded.
UNVERIFIED = "nobody can start, as participants can't be verified; [platform.signature] jwks may name a file of keys"

#: Bytes of a request that count as another request.
_COUNTED_BYTES = 16 << 10
#: Maximum number of events per request.
_BATCH = 200


async def _start(request: Request) -> Response:
    services = services_of(request)
    services.limit_start(request)
    body = _parse_object(await read_body(request, 16 << 10))
    platform, language, again = body.get("platform", {}), body.get("language", ""), body.get("again", False)
    if not isinstance(platform, dict) or not isinstance(language, str) or not isinstance(again, bool):
        raise RequestError(422, "platform must be an object, language a string, and again a boolean")
    parameters = {name: value for name, value in platform.items() if isinstance(value, str)}

    address = services.client(request)

    def job() -> tuple[dict[str, Any], str, StoredSize | None]:
        started = services.service.start(parameters, language, again=again, address=address)
        token_hash = hash_token(started["token"])
        return started, token_hash, services.query_size(token_hash) if started["token"] else None

    try:
        started, token_hash, size = await services.write(job)
    except ValueError as error:
        raise RequestError(422, str(error)) from None
    if size is not None:
        # So the session continues even when its address may start no more: a whole class may have started at once.
        services.sizes.setdefault(token_hash, size)
        services.states[token_hash] = started["state"]
    return JSONResponse(started)


async def _state(request: Request) -> Response:
    services = services_of(request)
    token, _ = await services.authorize(request)
    token_hash = hash_token(token)
    try:
        state = services.states[token_hash] = await services.read(services.service.state, token)
    except DatabaseUnavailable:
        # Only this server changes the session, so it is where it was.
        if token_hash not in services.states:
            raise
        state = services.states[token_hash]
    return JSONResponse({"state": state})


async def _events(request: Request) -> Response:
    services = services_of(request)
    length = request.headers.get("content-length", "")
    # Sixteen digits are enough for any size.
    announced = int(length[:16] if length.isascii() and length.isdigit() else 0)
    token, stored = await services.authorize(request, 1 + announced / _COUNTED_BYTES)
    body = await read_body(request, services.limits.body_bytes)
    if len(body) > announced:
        # A chunked request does not announce its size.
        services.limit_session(token, len(body) / _COUNTED_BYTES)
    batch = _parse_events(_parse_object(body))
    new = _check_size(batch, stored, services.limits)

    address = services.client(request)

    def job() -> tuple[int, dict[str, Any], bytes]:
        # The response is encoded in the thread too: a trial lists hundreds of images.
        appended = services.service.append(token, batch, address=address)
        return appended["stored"] + 1, appended["state"], bytes(JSONResponse(appended).body)

    stored.pending += new
    try:
        next, state, response = await services.write(job)
    except MissingEvents as error:
        raise _conflict(f"event {error.next} is missing; send it first", error.next) from None
    except EventConflict as error:
        message = f"event {error.number} is stored with other content; close the study in other windows"
        raise _conflict(message, error.next, number=error.number) from None
    except UnexpectedEvent as error:
        raise _conflict(str(error), error.next, number=error.number) from None
    finally:
        stored.pending -= new
    # Computed again: another request of this session may have stored events meanwhile.
    # Events after the end of the session were dropped.
    kept = [event for event in batch if event.number < next]
    stored.size, stored.next = stored.size + _new_bytes(kept, stored), max(stored.next, next)
    services.states[hash_token(token)] = state
    return Response(response, media_type="application/json")


def _check_size(batch: list[Event], stored: StoredSize, limits: Limits) -> int:
    """Refuse events that are too large, alone or with those of their session; return the bytes of the new ones."""
    for event in batch:
        if len(event.data) > limits.event_bytes:
            message = f"event {event.number} is larger than {limits.event_bytes >> 10} KiB"
            raise RequestError(413, message, number=event.number)
    new = _new_bytes(batch, stored)
    if stored.size + stored.pending + new > limits.session_bytes:
        raise RequestError(413, f"this session has reached its limit of {limits.session_bytes >> 20} MiB")
    return new


def _new_bytes(batch: list[Event], stored: StoredSize) -> int:
    """Bytes of the events that are not stored yet; their data are ASCII."""
    return sum(len(event.data) for event in batch if event.number >= stored.next)


def _conflict(message: str, next: int, **details: Any) -> RequestError:
    return RequestError(409, message, stored=next - 1, **details)


def _parse_object(body: bytes) -> dict[str, Any]:
    def refuse_constant(name: str) -> Any:
        raise ValueError(name)

    try:
        value = json.loads(body, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        raise RequestError(400, "the request is not valid JSON; send it again") from None
    if not isinstance(value, dict):
        raise RequestError(400, "the request must be a JSON object")
    return value


def _parse_events(body: dict[str, Any]) -> list[Event]:
    values = body.get("events")
    if not isinstance(values, list) or not 1 <= len(values) <= _BATCH:
        raise RequestError(422, f"events must be a list of 1 to {_BATCH} events")
    try:
        batch = [parse_event(value) for value in values]
    except ValueError as error:
        raise RequestError(422, str(error)) from None
    if any(later.number != event.number + 1 for event, later in pairwise(batch)):
        raise RequestError(422, "events must be in the order of their numbers, without gaps")
    return batch


async def _unknown_session(request: Request, error: Exception) -> Response:
    services = services_of(request)
    token = bearer_token(request)
    if token is not None:
        # The session may have been withdrawn.
        services.sizes.pop(hash_token(token), None)
        services.states.pop(hash_token(token), None)
    wait = services.by_start.take(services.client(request))
    if wait:
        return error_response(429, "too many requests; try again later", headers=retry_after(wait))
    return error_response(401, "this token is not valid; reopen the study", headers={"www-authenticate": "Bearer"})


async def _database_unavailable(request: Request, error: Exception) -> Response:
    message = "answers can't be stored at the moment; the page sends them again"
    return error_response(503, message, headers={"retry-after": "2"})


async def _unstorable_text(request: Request, error: Exception) -> Response:
    return error_response(409, "the request has a text that can't be stored: a NUL, or half of a character")


async def _keys_unavailable(request: Request, error: Exception) -> Response:
    services_of(request).failures.record(UNVERIFIED, str(error))
    message = "the platform that sent you can't be asked at the moment; the page tries again"
    return error_response(503, message, headers={"retry-after": "10"})


ROUTES = [
    Route("/api/start", _start, methods=["POST"]),
    Route("/api/state", _state, methods=["GET"]),
    Route("/api/events", _events, methods=["POST"]),
]
#: Responses to errors of the sessions and their database.
ERROR_HANDLERS: dict[Any, Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    UnknownSession: _unknown_session,
    DatabaseUnavailable: _database_unavailable,
    KeysUnavailable: _keys_unavailable,
    UnstorableText: _unstorable_text,
}

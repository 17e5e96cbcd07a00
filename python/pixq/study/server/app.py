"""The study's server as an ASGI application: the participants' page, its sessions, and the experimenter's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware

from pixq.errors import one_line
from pixq.http.connections import ConcurrencyMiddleware
from pixq.http.error_handlers import EXCEPTION_HANDLERS
from pixq.http.security import SecurityMiddleware
from pixq.study.server import routes_admin, routes_images, routes_page, routes_session
from pixq.study.server.failures import FailureLog
from pixq.study.server.limits import Limits, RateLimiter
from pixq.study.server.services import Services
from pixq.study.server.threads import Threads
from pixq.study.session.service import SessionService

__all__ = ["create_app"]


def create_app(
    service: SessionService,
    threads: Threads,
    page: Mapping[str, tuple[bytes, str]],
    *,
    admin: tuple[str, Callable[[], Any]] | None = None,
    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "::1"),
    addresses: bool = False,
    proxy: bool = False,
    limits: Limits | None = None,
    failures: FailureLog | None = None,
) -> Starlette:
    """Create the application.

    Parameters
    ----------
    service
        Runs the sessions.
    threads
        They wait for the database and for files.
    page
        Files of the participants' page; see `pixq.study.server.routes_page.read_page`.
    admin
        Hash of the experimenter's token, and a function that computes the statistics; `None`: there is no
        experimenter's page.
    hosts, addresses
        See `pixq.http.security.SecurityMiddleware`.
    proxy
        Whether a trusted proxy sets `X-Forwarded-For`, which then ends with the client's address.
    limits
        Limits for requests and sessions.
    failures
        Gets what goes wrong; by default a new log that prints it.
    """
    limits, failures = limits or Limits(), failures or FailureLog()
    token, compute = admin or (None, dict)

    async def statistics() -> Any:
        # Takes the longer the more is stored, in the process that runs the sessions.
        try:
            return await threads.compute(compute)
        except Exception as error:
            failures.record("the statistics can't be computed", one_line(error))
            raise

    services = Services(
        service, threads, page, limits, RateLimiter(limits.session), RateLimiter(limits.address),
        RateLimiter(limits.start), proxy, token,
        routes_admin.RefreshedValue(statistics, limits.statistics_seconds).get, failures,
    )  # fmt: skip
    app = Starlette(
        routes=[
            # Routes are tried in order, and images are requested most often.
            *routes_images.ROUTES,
            *routes_page.ROUTES,
            *routes_session.ROUTES,
            *(routes_admin.page_routes() if admin else ()),
            routes_admin.statistics_route,
        ],
        middleware=[
            Middleware(SecurityMiddleware, hosts=hosts, addresses=addresses),
            # Without a proxy, the server limits the connections of an address.
            *([Middleware(ConcurrencyMiddleware, services.client_of, limits.address_connections)] if proxy else ()),
        ],
        exception_handlers={**EXCEPTION_HANDLERS, **routes_session.ERROR_HANDLERS},
    )
    app.state.services = services
    # A path with another slash is not found either.
    app.router.redirect_slashes = False
    return app

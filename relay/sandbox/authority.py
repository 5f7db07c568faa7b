"""SimulatedAuthority: the token endpoint of Entra ID, as far as an application with client credentials meets it."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from uuid import uuid4

from aiohttp import web

TENANT = "contoso.onmicrosoft.com"
CLIENT_ID = "5c1d9a6e-3f2b-4a77-9f0e-2b6f1f3f6c01"
SCOPE = "8e2f4b10-6d53-4c1a-b7de-90f3f5a1c702/.default"

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# What Entra ID says besides the number: the class of the error (RFC 6749, 5.2), the status, and a sentence.
_ERRORS = {
    7000215: ("invalid_client", 401, "Invalid client secret provided."),
    7000216: ("invalid_client", 401, "'client_assertion' or 'client_secret' is required."),
    7000222: ("invalid_client", 401, "The provided client secret keys are expired."),
    700016: ("unauthorized_client", 400, "Application was not found in the directory."),
    700024: ("invalid_client", 401, "Client assertion is not within its valid time range."),
    700213: ("invalid_client", 401, "No matching federated identity record found for presented assertion subject."),
    70011: ("invalid_scope", 400, "The provided value for the input parameter 'scope' is not valid."),
    500011: ("invalid_resource", 400, "The resource principal was not found in the tenant."),
    70003: ("unsupported_grant_type", 400, "The app requested an unsupported grant type."),
    90002: ("invalid_request", 400, "Tenant not found."),
    90033: ("temporarily_unavailable", 503, "A transient error has occurred. Please try again."),
}


class SimulatedAuthority:
    """Gives tokens to one application; `revoke` makes all of them worthless, `life` is of the next, in seconds.

    `secret` and `assertion` are what it takes as a proof of who asks; `granted` counts the tokens.
    """

    def __init__(self, secret: str, assertion: str) -> None:
        """Grant nothing yet."""
        self.secret = secret
        self.assertion = assertion
        self.life = 3600.0
        self.granted = 0
        self._tokens: dict[str, float] = {}

    def revoke(self) -> None:
        """Let no token of before be good."""
        self._tokens.clear()

    def knows(self, authorization: str | None) -> bool:
        """Tell whether a request's Authorization header has a token that is good."""
        token = (authorization or "").removeprefix("Bearer ")
        return self._tokens.get(token, 0.0) > time.monotonic()

    async def token(self, request: web.Request) -> web.Response:
        """Answer `POST /{tenant}/oauth2/v2.0/token`."""
        form = await request.post()
        refused = self._refusal(request.match_info["tenant"], {name: str(value) for name, value in form.items()})
        if refused:
            return entra_error(refused)
        token = secrets.token_urlsafe(32)
        self._tokens[token] = time.monotonic() + self.life
        self.granted += 1
        granted = {"token_type": "Bearer", "expires_in": int(self.life), "ext_expires_in": int(self.life)}
        return web.json_response({**granted, "access_token": token})

    def _refusal(self, tenant: str, form: dict[str, str]) -> int | None:
        """Give the number of what is wrong with a request, None when nothing is."""
        proof = form.get("client_secret") or form.get("client_assertion")
        wrong = {
            90002: tenant != TENANT,
            70003: form.get("grant_type") != "client_credentials",
            700016: form.get("client_id") != CLIENT_ID,
            7000216: proof is None,
            7000215: "client_secret" in form and form["client_secret"] != self.secret,
            700213: "client_assertion" in form
            and (form["client_assertion"], form.get("client_assertion_type")) != (self.assertion, _ASSERTION),
            70011: not form.get("scope", "").endswith("/.default"),
            500011: form.get("scope") != SCOPE,
        }
        return next((code for code, is_wrong in wrong.items() if is_wrong), None)


def entra_error(code: int) -> web.Response:
    """Give the answer that Entra ID has for an error."""
    error, status, sentence = _ERRORS.get(code, ("invalid_request", 400, "Something is wrong."))
    trace, correlation, now = str(uuid4()), str(uuid4()), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"
    description = f"AADSTS{code}: {sentence} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}"
    body = {"error": error, "error_description": description, "error_codes": [code], "timestamp": now}
    return web.json_response({**body, "trace_id": trace, "correlation_id": correlation}, status=status)

"""What refusals mean: Entra ID's by the number of their AADSTS code, the API's by status.

The numbers are Microsoft's (identity platform, reference of error codes) and may change, so one that is
not in the table is named and nothing more. Only numbers are taken out of an answer, never its text.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from relay.point.failure import PointError
from relay.point.wire import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.point.wire import Answer

_FEDERATED = "add a federated credential to the application that has the token's issuer, subject and audience"
_TENANT = "check tenant, and authority in a sovereign cloud"
_SECRET = "make a new client secret of the application, and put its value into the file that client_secret names"  # noqa: S105 - an advice
_CLOCK = "check this machine's clock, and that the file of token_file is still renewed"

ADVICE: Mapping[int, str] = MappingProxyType(
    {
        7000215: f"the client secret is wrong (its id in place of its value?): {_SECRET}",
        7000222: f"the client secret has expired: {_SECRET}",
        7000216: "no client secret came with the request: check that what client_secret names is not empty",
        7000218: "no client secret came with the request: check that what client_secret names is not empty",
        700016: "the tenant does not know the application: check client_id and tenant",
        7000229: "the application has no service principal in the tenant: an administrator has to consent to it",
        7000112: "the application is disabled: enable it under the tenant's enterprise applications",
        90002: f"there is no such tenant: {_TENANT}",
        900023: f"that is no name of a tenant: {_TENANT}",
        900382: f"the application belongs to another cloud: {_TENANT}",
        70011: "the scope is wrong: set scope to <id of Syskit Point's API application>/.default",
        1002012: "the scope is wrong: set scope to <id of Syskit Point's API application>/.default",
        500011: "the tenant does not know what scope names: check scope, or install Syskit Point in the tenant",
        501051: "the application is not assigned: grant it the role Point.Admin of Syskit Point's API",
        50105: "the application is not assigned: grant it the role Point.Admin of Syskit Point's API",
        53003: "a Conditional Access policy blocks the application: exclude it, or allow this machine's address",
        700024: f"the federated token is not valid now: {_CLOCK}",
        50012: f"the federated token does not authenticate the application: {_CLOCK}",
        50013: "the federated token is not accepted: check that token_file names one, and its audience",
        50027: "the federated token cannot be read: check that the file of token_file holds one, and nothing else",
        700027: "the federated token's signature does not fit: check that its issuer publishes its keys",
        70021: f"no federated credential fits the token: {_FEDERATED}",
        700211: f"no federated credential has the token's issuer: {_FEDERATED}",
        700212: f"no federated credential has the token's audience: {_FEDERATED}",
        700213: f"no federated credential has the token's subject: {_FEDERATED}",
        700222: f"a token of Entra ID itself is not taken as a federated one: {_FEDERATED}",
    }
)
_PASSING = frozenset({90033, 50196, 50180})
_CODE = re.compile(r"AADSTS([0-9]{4,8})\b")
_BUSY = 429

API: Mapping[int, str] = MappingProxyType(
    {
        400: "Syskit Point does not take what was sent; check endpoint and types under register",
        401: "the token is refused, even a new one; check that scope names Syskit Point's API and url is its tenant's",
        403: "the application may not do this; grant it the role Point.Admin, with an administrator's consent",
        404: "there is no such thing; check that url is the API's, without /v1.0",
        409: "Syskit Point has it registered otherwise; run `relay endpoints delete`, then `relay endpoints register`",
        429: "too many requests; it is asked again later",
    }
)


class _EntraError(msgspec.Struct):
    """The part of Entra ID's error that is of use."""

    error_codes: list[int] = []
    error_description: str = ""


def token_refusal(what: str, answer: Answer) -> PointError:
    """Say what Entra ID's refusal means."""
    try:
        said = msgspec.json.decode(answer.body, type=_EntraError)
    except UNREADABLE:
        said = _EntraError()
    codes = said.error_codes or [int(code) for code in _CODE.findall(said.error_description)]
    curable = answer.passing or not _PASSING.isdisjoint(codes)
    known = next((code for code in codes if code in ADVICE), None)
    if known is not None:
        why = f"AADSTS{known}: {ADVICE[known]}"
    elif codes:
        why = f"AADSTS{codes[0]}; https://login.microsoftonline.com/error?code={codes[0]} says what it means"
    elif curable:
        why = "the authority is busy or broken; it is asked again later"
    else:
        why = "that is no answer of Entra ID; check authority and tenant"
    return PointError(f"{what}: {answer.status}: {why}", curable=curable, retry_after=answer.retry_after)


def api_refusal(what: str, answer: Answer) -> PointError:
    """Say what a status of the API means that is no success."""
    broken = "Syskit Point is broken or away; it is asked again later" if answer.passing else "check url"
    why = API.get(answer.status, broken)
    return PointError(f"{what}: {answer.status}: {why}", curable=answer.passing, retry_after=answer.retry_after)

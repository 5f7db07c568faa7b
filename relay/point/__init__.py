"""The client of Syskit Point's API, with tokens of Microsoft Entra ID."""

from relay.point.backoff import backoff
from relay.point.failure import NotRegistered, PointError
from relay.point.point import Endpoint, Point

__all__ = ["Endpoint", "NotRegistered", "Point", "PointError", "backoff"]

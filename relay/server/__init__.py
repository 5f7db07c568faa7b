"""The ingest listener: HTTP in, receipts out."""

from relay.server.listener import Listener

__all__ = ["Listener"]

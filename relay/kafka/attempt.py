"""Attempt: one connection to a broker, made to learn why aiokafka cannot make any."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from aiokafka import errors
from aiokafka.conn import create_conn

from relay.kafka.refusals import refused

if TYPE_CHECKING:
    from relay.kafka.security import Connection


async def unreachable(error: BaseException, connection: Connection) -> str:
    """Say why Kafka could not be asked, in words that name what to look at.

    aiokafka says only that it could not connect, and the reason to its log. So the first address is tried once more,
    for `request_timeout` at most, and what that meets is told: a refusal, a certificate, a login.
    """
    if not isinstance(error, errors.KafkaConnectionError):
        return refused(error).error
    where = ", ".join(connection["bootstrap_servers"])
    return f"Kafka does not answer at {where}{await _reason(connection)}"


async def _reason(connection: Connection) -> str:
    host, _, port = connection["bootstrap_servers"][0].rpartition(":")
    options = {name: value for name, value in connection.items() if name != "bootstrap_servers"}
    try:
        tried = await create_conn(host.strip("[]"), int(port), **options)
    except ssl.SSLCertVerificationError as error:
        return f": its certificate is not trusted ({error.verify_message}); see kafka.security.ca_file"
    except (errors.SaslAuthenticationFailed, errors.UnsupportedSaslMechanismError, errors.IllegalSaslStateError):
        return ": it refuses the login; see kafka.security.mechanism, username and password"
    except (ssl.SSLError, TimeoutError, errors.KafkaConnectionError):
        return ": it does not go on with the connection; see kafka.security.protocol, cert_file and key_file"
    except ConnectionRefusedError:
        return ": nobody listens there"
    except (errors.KafkaError, OSError) as error:
        return f": {error}"
    with suppress(OSError):
        tried.close()
    return ""

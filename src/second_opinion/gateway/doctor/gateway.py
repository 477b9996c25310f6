"""The HTTP gateway: whether one answers where the settings say, and the keys that open it."""

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any, Final

from second_opinion.gateway.doctor.findings import Finding, failed, warning, well
from second_opinion.schemas.access import ApiKey
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_elasticsearch

PATIENCE_SECONDS: Final = 10.0
SOON_SECONDS: Final = 7 * 86_400.0
EVERYWHERE: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, not listened on
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def check_gateway(settings: Settings) -> Iterator[Finding]:
    """Ask the gateway whether it can work, and look at the keys."""
    yield _answer(settings)
    stores = open_elasticsearch(settings)
    try:
        keys = stores.api_keys.listed()
    finally:
        stores.connection.close()
    yield _keys(keys, settings, time.time())


def _answer(settings: Settings) -> Finding:
    host = "127.0.0.1" if settings.gateway_host in EVERYWHERE else settings.gateway_host
    where = f"{host}:{settings.gateway_port}"
    connection = http.client.HTTPConnection(host, settings.gateway_port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/readyz")
        state: Any = json.loads(connection.getresponse().read(10_000))
        parts = {name: state[name] for name in ("elasticsearch", "redis")}
    except ConnectionRefusedError:
        return well("gateway", f"none on {where}; it is optional: opinion serve")
    except OSError as problem:
        return warning("gateway", f"{where} does not answer: {problem}", "Look at its log: opinion logs gateway")
    except (ValueError, LookupError, TypeError, http.client.HTTPException):
        hint = "Stop what listens there, or set OPINION_GATEWAY_PORT."
        return warning("gateway", f"what answers on {where} is no gateway of ours", hint)
    finally:
        connection.close()
    wrong = [f"{name}: {code}" for name, code in parts.items() if code != "ok"]
    if wrong:
        return failed("gateway", f"{where} cannot work: {', '.join(wrong)}", "See what is said of these servers above.")
    return well("gateway", f"ready on {where}")


def _keys(keys: list[ApiKey], settings: Settings, now: float) -> Finding:
    valid = [key for key in keys if key.is_valid(now=now)]
    told = f"{len(valid)} valid, {len(keys) - len(valid)} revoked or expired"
    if not valid and settings.gateway_host not in LOOPBACK:
        hint = "Make one: opinion keys create NAME --scope query --collection COLLECTION"
        return failed("api keys", f"{told}; nobody can come in on {settings.gateway_host}", hint)
    soon = [key.name for key in valid if key.expires_at is not None and key.expires_at - now < SOON_SECONDS]
    if soon:
        return warning("api keys", f"{told}; soon to expire: {', '.join(soon)}", "Make new ones: opinion keys create")
    return well("api keys", told)

"""Who may come in, how often, and with how much."""

from second_opinion.schemas.errors.base import PermanentError, TransientError
from second_opinion.schemas.errors.missing import NotFound


class Unauthenticated(PermanentError):
    """No key was sent, or it is not one of ours, or it is no longer valid: which of them is not said."""

    code = "unauthenticated"
    default_hint = "Send a valid key: Authorization: Bearer so_... (make one: opinion keys create NAME --scope query)"


class AccessDenied(PermanentError):
    """The key is valid, and does not have the scope that this needs."""

    code = "access_denied"
    default_hint = "Use a key with the scope that is named: opinion keys create NAME --scope SCOPE"


class HostNotAllowed(PermanentError):
    """A request to a gateway on loopback came by a name, or from a page, that is not its own."""

    code = "host_not_allowed"
    default_hint = "Call it by 127.0.0.1 or localhost, or add the name to OPINION_GATEWAY_HOSTS."


class BodyTooLarge(PermanentError):
    """The body of a request is above the size limit."""

    code = "body_too_large"
    default_hint = "Send less at once; documents can be streamed as JSON lines to /v1/documents/batch."


class BodyTooSlow(TransientError):
    """The body of a request stopped coming."""

    code = "body_too_slow"
    default_hint = "Send the body without long pauses; read what is to be sent before the request begins."


class UnknownKey(NotFound):
    """No API key has this id."""

    code = "unknown_key"
    default_hint = "List the keys: opinion keys list"


class RateLimited(TransientError):
    """A key has made as many requests as it may for now."""

    code = "rate_limited"
    default_hint = "Send the same again after the seconds in Retry-After."
    default_retry_after = 1.0


class GatewayStopping(TransientError):
    """The gateway is being stopped; what was submitted goes on and can be asked for again."""

    code = "gateway_stopping"
    default_hint = "Ask again in a moment; another gateway, or this one once it is back, answers."
    default_retry_after = 2.0

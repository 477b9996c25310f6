"""Logging: structlog for our own lines and for those of the libraries, readable on a terminal, JSON otherwise."""

import logging
import sys

import structlog

from second_opinion.workers.settings import Settings

QUIET_LIBRARIES = ("elastic_transport", "elasticsearch", "kombu", "amqp", "urllib3")


def configure_logging(settings: Settings) -> None:
    """Send every log line of this process to stderr in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(settings)],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for library in QUIET_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    # Celery tells of each message three times at INFO; our own line per task says it once.
    logging.getLogger("celery").setLevel(logging.WARNING)


def _rendering(settings: Settings) -> list[structlog.typing.Processor]:
    on_terminal = settings.log_format == "auto" and sys.stderr.isatty()
    if settings.log_format == "console" or on_terminal:
        return [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.RichTracebackFormatter(show_locals=False)
            )
        ]
    # Without local variables: among them are callers' keys and documents.
    frames = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    return [frames, structlog.processors.JSONRenderer(ensure_ascii=False)]

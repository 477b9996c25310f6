"""The local stack."""

from second_opinion.schemas.errors.base import PermanentError


class StackError(PermanentError):
    """The local stack cannot do what was asked."""

    code = "stack_error"


class JavaMissing(StackError):
    """No Java Development Kit was found that this Elasticsearch runs on."""

    code = "java_missing"
    default_hint = "Install one (apt-get install openjdk-17-jdk-headless), or set ES_JAVA_HOME to the folder of one."


class DistributionUnavailable(StackError):
    """A server's program cannot be fetched, unpacked or built."""

    code = "distribution_unavailable"


class StateUnusable(StackError):
    """The state folder cannot be written, reached by a server's account, or is out of space."""

    code = "state_unusable"
    default_hint = "Choose another folder: opinion up --state-dir FOLDER"


class PortInUse(StackError):
    """Another program listens on a port that the stack was told to use."""

    code = "port_in_use"
    default_hint = "Stop that program, or choose another port (0 picks a free one)."


class PartFailed(StackError):
    """A server or worker of the local stack ended, or was not ready in time."""

    code = "part_failed"

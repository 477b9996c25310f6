"""Child processes of a worker leave when they are done, whether their parent still listens or not.

Billiard lets a child wait up to 30 seconds until its parent has read all its results. A parent that is told to stop
forgets the tasks that it has just handed out and not yet heard of, and reads no more once nothing else is open: the
child does its task and waits in vain, for as long as our whole grace time, and the watchdog ends a worker that was in
order. What was not read is not acknowledged, so it is delivered again, which every effect is fenced against.
"""

from typing import Final

import billiard.pool

SECONDS: Final = 3.0


def bound_farewell() -> None:
    """Let the children of this process, from now on, wait for so long at the most."""
    pauses = round(SECONDS / billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL)
    billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = pauses

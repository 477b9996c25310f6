"""What happens to processes and servers as a whole while a simulation runs."""

import random
from dataclasses import dataclass
from typing import Final

from second_opinion.testing.simulation.faults import Fates
from second_opinion.testing.simulation.world import World

FREEZE_SECONDS: Final = 45.0
INDEXING_SHARE: Final = 0.5
OUTAGE_SECONDS: Final = 12.0
WORKERS: Final = frozenset({"index", "extract", "maintenance", "retrieve", "rerank"})


@dataclass(slots=True)
class Fate:
    """Strikes every few seconds, until it is stopped."""

    world: World
    fates: Fates
    longest_pause: float = 6.0
    stopped: bool = False
    events: int = 0

    def run(self) -> None:
        """Strike until stopped; to be run by an actor."""
        world = self.world
        strikes = {
            "kill": self._kill,
            "freeze": self._freeze,
            "lose": self._lose,
            "repeat": self._repeat,
            "reorder": self._reorder,
            "refresh": self._refresh,
            "elasticsearch down": self._elasticsearch_down,
            "redis down": self._redis_down,
            "redis empty": self._redis_empty,
            "reranker down": self._reranker_down,
            "candidates gone": self._candidates_gone,
        }
        scheduler = world.sea.scheduler
        while True:
            pause, strike = self.fates.rng.uniform(0.0, self.longest_pause), self.fates.pick(strikes)
            scheduler.sleep(pause)
            if self.stopped:
                return
            self.events += 1
            if -self.events in world.sea.spared:
                world.sea.drawn += 1
            elif (told := strike()) is not None:
                world.sea.strikes(-self.events, told)

    def _kill(self, rng: random.Random) -> str | None:
        name = rng.choice(sorted(self.world.living))
        process, _ = self.world.living[name]
        if process.dead or name in self.world.retired:
            return None
        process.dead = True
        return f"{name} is killed"

    def _freeze(self, rng: random.Random) -> str | None:
        workers = [name for name, (process, _) in sorted(self.world.living.items()) if process.role in WORKERS]
        indexing = [name for name in workers if name.startswith("index")]
        name = rng.choice(indexing if rng.random() < INDEXING_SHARE else workers)
        seconds = rng.uniform(1.0, FREEZE_SECONDS)
        process, _ = self.world.living[name]
        process.frozen_until = self.world.sea.scheduler.now + seconds
        return f"{name} stands still for {seconds:.0f} s"

    def _lose(self, rng: random.Random) -> str | None:
        waiting = self.world.broker.waiting()
        if not waiting:
            return None
        delivery = rng.choice(waiting)
        self.world.broker.lose(delivery)
        return f"message {delivery.number} of {delivery.queue} is lost"

    def _repeat(self, rng: random.Random) -> str | None:
        known = self.world.broker.waiting() + self.world.broker.held()
        if not known:
            return None
        delivery = rng.choice(known)
        self.world.broker.repeat(delivery)
        return f"message {delivery.number} of {delivery.queue} comes twice"

    def _reorder(self, rng: random.Random) -> str | None:
        waiting = self.world.broker.waiting()
        queues = sorted({delivery.queue for delivery in waiting})
        if not queues:
            return None
        queue = rng.choice(queues)
        order = [delivery for delivery in waiting if delivery.queue == queue]
        rng.shuffle(order)
        self.world.broker.reorder(queue, order)
        return f"queue {queue} is shuffled" if len(order) > 1 else None

    def _refresh(self, _: random.Random) -> str | None:
        self.world.stores.chunks.refresh(self.world.ledger.index)
        return None

    def _elasticsearch_down(self, rng: random.Random) -> str:
        return self._down("elasticsearch", rng.uniform(0.5, OUTAGE_SECONDS))

    def _redis_down(self, rng: random.Random) -> str:
        return self._down("redis", rng.uniform(0.5, OUTAGE_SECONDS))

    def _candidates_gone(self, _: random.Random) -> str:
        self.world.candidates.clear()
        return "candidates are gone"

    def _reranker_down(self, rng: random.Random) -> str:
        return self._down("reranker", rng.uniform(0.5, OUTAGE_SECONDS))

    def _down(self, server: str, seconds: float) -> str:
        self.world.sea.down[server] = self.world.sea.scheduler.now + seconds
        return f"{server} is down for {seconds:.0f} s"

    def _redis_empty(self, rng: random.Random) -> str | None:
        if rng.random() < 0.7:  # noqa: PLR2004 - the rarest of all
            return None
        self.world.lose_redis()
        return "redis is empty"

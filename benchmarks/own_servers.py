"""A folder for servers, and an Elasticsearch: one that runs already, or one of the benchmark's own."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from second_opinion.ops.stack import LocalStack


@contextmanager
def own_elasticsearch(
    url: str | None, *, progress: Callable[[str], object] = lambda _line: None
) -> Iterator[tuple[Path, str]]:
    """Give a folder that is removed afterwards, and the address of an Elasticsearch: that at `url`, or a new one."""
    with tempfile.TemporaryDirectory(prefix="second-opinion-") as name:
        folder = Path(name)
        # Elasticsearch runs as another user where the benchmark runs as root.
        folder.chmod(0o755)
        if url is not None:
            yield folder, url
            return
        servers = LocalStack(folder / "servers", elasticsearch_port=0, redis_port=0)
        try:
            yield folder, servers.up({}, progress=progress).elasticsearch_url
        finally:
            servers.down()

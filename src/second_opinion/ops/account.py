"""The account that Elasticsearch runs as: it refuses to run as root, so root lends it another one."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from second_opinion.schemas.errors import StateUnusable

PREFERRED_NAMES: Final = ("elasticsearch", "nobody")


@dataclass(frozen=True)
class Account:
    """A user of this machine by number."""

    name: str
    user: int
    group: int

    def own(self, folder: Path) -> None:
        """Make this account the owner of `folder` and of everything in it."""
        os.chown(folder, self.user, self.group)
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                os.chown(Path(parent, name), self.user, self.group, follow_symlinks=False)

    def may_enter(self, folder: Path) -> bool:
        """Whether the permissions of `folder` let this account pass through it."""
        facts = folder.stat()
        if facts.st_uid == self.user:
            return bool(facts.st_mode & stat.S_IXUSR)
        if facts.st_gid == self.group:
            return bool(facts.st_mode & stat.S_IXGRP)
        return bool(facts.st_mode & stat.S_IXOTH)


def server_account() -> Account | None:
    """Return the account to lend to Elasticsearch, or None when this process is not root and needs none.

    Raises:
        StateUnusable: This process is root and the machine has no unprivileged account.
    """
    if os.geteuid() != 0:
        return None
    for name in PREFERRED_NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, user=entry.pw_uid, group=entry.pw_gid)
    raise StateUnusable(
        "Elasticsearch does not run as root, and there is no account to run it as.",
        hint="Run as an ordinary user, or create an account named elasticsearch.",
    )


def check_reachable(path: Path, account: Account) -> None:
    """Check that `account` can reach `path`, a folder that exists, from the root of the file system.

    Raises:
        StateUnusable: A folder on the way is closed to the account.
    """
    for folder in reversed([path, *path.parents]):
        if not account.may_enter(folder):
            raise StateUnusable(
                f"Elasticsearch runs as {account.name!r} because it refuses to run as root, "
                f"and {account.name!r} cannot enter {folder}, which leads to {path}.",
                hint="Choose a state folder outside of it: opinion up --state-dir /var/lib/second-opinion",
            )

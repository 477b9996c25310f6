"""Finding a Java Development Kit that Elasticsearch 8.19 runs on."""

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from second_opinion.schemas.errors import JavaMissing

OLDEST_VERSION: Final = 17
NEWEST_VERSION: Final = 25
USUAL_FOLDERS: Final = (
    Path("/usr/lib/jvm"),
    Path("/usr/java"),
    Path("/opt/java"),
    Path("/opt/jdk"),
    Path("/Library/Java/JavaVirtualMachines"),
    Path("/opt/homebrew/opt"),
)
_VERSION_LINE: Final = re.compile(r'^JAVA_VERSION="(?:1\.)?(\d+)', re.MULTILINE)


@dataclass(frozen=True)
class Jdk:
    """A Java Development Kit: its home folder and its feature version, such as 21."""

    home: Path
    version: int

    @property
    def java(self) -> Path:
        """The program that runs Java."""
        return self.home / "bin" / "java"

    @property
    def javac(self) -> Path:
        """The compiler."""
        return self.home / "bin" / "javac"

    @property
    def fits(self) -> bool:
        """Whether Elasticsearch runs on this version."""
        return OLDEST_VERSION <= self.version <= NEWEST_VERSION


def read_jdk(home: Path) -> Jdk | None:
    """Return the JDK at `home`, or None if there is none; a runtime without compiler does not count."""
    try:
        home = home.resolve(strict=True)
        found = _VERSION_LINE.search((home / "release").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    if found is None or not all((home / "bin" / name).is_file() for name in ("java", "javac")):
        return None
    return Jdk(home=home, version=int(found.group(1)))


def find_jdk(named: Iterable[Path] = (), usual: Iterable[Path] | None = None) -> Jdk:
    """Return the first fitting JDK of `named`, else the best of the usual places: the newest that fits.

    Args:
        named: Homes that the user points to (ES_JAVA_HOME, then JAVA_HOME), most wanted first.
        usual: Homes to look at besides; the folders where systems install JDKs when left out.

    Raises:
        JavaMissing: None fits; the message lists what was found.
    """
    seen: dict[Path, Jdk] = {}
    for home in named:
        jdk = read_jdk(home)
        if jdk is None:
            continue
        if jdk.fits:
            return jdk
        seen[jdk.home] = jdk
    for home in _usual_homes() if usual is None else usual:
        if jdk := read_jdk(home):
            seen[jdk.home] = jdk
    fitting = [jdk for jdk in seen.values() if jdk.fits]
    if fitting:
        return max(fitting, key=lambda jdk: jdk.version)
    raise JavaMissing(_what_was_found(seen.values()))


def _usual_homes() -> Iterator[Path]:
    if javac := shutil.which("javac"):
        yield Path(javac).resolve().parent.parent
    for folder in USUAL_FOLDERS:
        if folder.is_dir():
            for child in sorted(folder.iterdir()):
                yield child
                yield child / "Contents" / "Home"
                yield child / "libexec" / "openjdk.jdk" / "Contents" / "Home"


def _what_was_found(jdks: Iterable[Jdk]) -> str:
    wanted = f"Elasticsearch needs a JDK (with javac) of version {OLDEST_VERSION} to {NEWEST_VERSION}"
    found = ", ".join(f"version {jdk.version} in {jdk.home}" for jdk in jdks)
    return f"{wanted}; found only {found}." if found else f"{wanted}; none was found."

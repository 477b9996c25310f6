"""Elasticsearch's own distribution: fetched by Maven once, checked, unpacked and completed with our analyzer.

Programs live apart from any stack's state, in a folder that stacks share. A distribution appears there by one
rename, so it is whole or absent. Its name carries a hash of the plugin's source: a changed plugin is a new folder.
"""

import hashlib
import shutil
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from second_opinion.ops.analyzer_plugin import build_plugin, plugin_fingerprint
from second_opinion.ops.filesystem import locked, make_folder, require_space
from second_opinion.ops.jdk import Jdk
from second_opinion.schemas.errors import DistributionUnavailable

VERSION: Final = "8.19.21"
ARTIFACT: Final = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
ZIP_SHA256: Final = "215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a"
FETCH_SECONDS: Final = 900
SPACE_NEEDED: Final = 500
UNFINISHED: Final = ".unfinished-"


@dataclass(frozen=True)
class Distribution:
    """An unpacked Elasticsearch with the `english` analyzer, ready to start."""

    home: Path

    @property
    def program(self) -> Path:
        """The script that starts a node."""
        return self.home / "bin" / "elasticsearch"


def find_distribution(programs: Path) -> Distribution | None:
    """Return the distribution in the `programs` folder, or None when it has to be installed first."""
    home = programs / f"elasticsearch-{VERSION}-{plugin_fingerprint()}"
    return Distribution(home) if home.is_dir() else None


def install_distribution(programs: Path, jdk: Jdk, progress: Callable[[str], None]) -> Distribution:
    """Return the distribution in the `programs` folder, fetching and building it if it is not there.

    Args:
        programs: Folder that stacks of this machine share.
        jdk: Compiles the plugin and runs Maven.
        progress: Told in a few words what goes on.

    Raises:
        DistributionUnavailable: Maven is missing or failed, or what came is not what was asked for.
        StateUnusable: The folder cannot be written or the disk is full.
    """
    if found := find_distribution(programs):
        return found
    make_folder(programs)
    with locked(programs / "install.lock", seconds=FETCH_SECONDS, what=f"installing Elasticsearch in {programs}"):
        if found := find_distribution(programs):
            return found
        for unfinished in programs.glob(f"{UNFINISHED}*"):
            shutil.rmtree(unfinished)
        require_space(programs, SPACE_NEEDED)
        with tempfile.TemporaryDirectory(dir=programs, prefix=UNFINISHED) as workshop:
            home = _assemble(Path(workshop), jdk, progress)
            home.rename(programs / f"elasticsearch-{VERSION}-{plugin_fingerprint()}")
    return Distribution(programs / f"elasticsearch-{VERSION}-{plugin_fingerprint()}")


def _assemble(workshop: Path, jdk: Jdk, progress: Callable[[str], None]) -> Path:
    progress(f"fetching Elasticsearch {VERSION} (107 MB, once)")
    archive = _fetch(workshop, jdk)
    progress("unpacking Elasticsearch")
    home = _unpack(archive, workshop)
    progress("building the english analyzer")
    build_plugin(home, jdk, VERSION)
    _open_to_all(home)
    return home


def _fetch(workshop: Path, jdk: Jdk) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise DistributionUnavailable(
            "Maven (mvn), which fetches Elasticsearch, is not installed.",
            hint="Install it (for example: apt-get install maven), then run again: opinion up",
        )
    command = [
        *(maven, "--batch-mode", "--quiet", "--strict-checksums"),
        "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
        *(f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={workshop}"),
    ]
    try:
        run = subprocess.run(
            ["env", f"JAVA_HOME={jdk.home}", *command],
            cwd=workshop,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DistributionUnavailable(
            f"Fetching Elasticsearch took longer than {FETCH_SECONDS // 60} minutes.",
            hint="Check the network, then run again: opinion up",
        ) from error
    archive = workshop / f"elasticsearch-{VERSION}.zip"
    if run.returncode != 0 or not archive.is_file():
        raise DistributionUnavailable(
            f"Maven could not fetch {ARTIFACT}: {_first_error(run.stdout)}",
            hint="The first start needs the network; check it and Maven's settings, then run again: opinion up",
        )
    with archive.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != ZIP_SHA256:
        raise DistributionUnavailable(
            f"What Maven fetched for {ARTIFACT} is not the file that was expected (SHA-256 {digest}).",
            hint="Remove that artifact from Maven's local repository, then run again: opinion up",
        )
    return archive


def _first_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("[ERROR]").strip() for line in lines if line.startswith("[ERROR]")]
    return (errors or lines or ["it said nothing"])[0]


def _unpack(archive: Path, workshop: Path) -> Path:
    with zipfile.ZipFile(archive) as content:
        content.extractall(workshop)
    archive.unlink()
    return workshop / f"elasticsearch-{VERSION}"


def _open_to_all(home: Path) -> None:
    """Let every account read the programs, and run those in `bin`; zip files keep no such permissions here."""
    home.chmod(0o755)
    for path in home.rglob("*"):
        runnable = path.is_dir() or (path.parent == home / "bin" and path.suffix == "")
        path.chmod(0o755 if runnable else stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)

"""Building the `english` analyzer plugin against a distribution's own libraries.

The distribution that Maven brings lacks the module analysis-common. A stable plugin of one class gives back the only
analyzer that the mappings name; see `elasticsearch_plugin/EnglishAnalyzerFactory.java`.
"""

import hashlib
import json
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from second_opinion.ops.jdk import OLDEST_VERSION, Jdk
from second_opinion.schemas.errors import DistributionUnavailable

SOURCE: Final = Path(__file__).with_name("elasticsearch_plugin") / "EnglishAnalyzerFactory.java"
CLASS_NAME: Final = "io.secondopinion.analysis.EnglishAnalyzerFactory"
FACTORY: Final = "org.elasticsearch.plugin.analysis.AnalyzerFactory"
PLUGIN_NAME: Final = "english"
COMPILE_SECONDS: Final = 120


def plugin_fingerprint() -> str:
    """Return eight hex digits that change with the plugin's source."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:8]


def build_plugin(home: Path, jdk: Jdk, version: str) -> None:
    """Compile the plugin and install it into the distribution at `home`.

    Args:
        home: An unpacked distribution.
        jdk: Its compiler is used; the class runs on every version that Elasticsearch runs on.
        version: The distribution's version, which the plugin has to name.

    Raises:
        DistributionUnavailable: The compiler failed.
    """
    folder = home / "plugins" / PLUGIN_NAME
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as classes:
        _compile(home, jdk, Path(classes))
        with zipfile.ZipFile(folder / "english-analyzer.jar", "w", zipfile.ZIP_DEFLATED) as jar:
            for file in sorted(Path(classes).rglob("*.class")):
                jar.write(file, str(file.relative_to(classes)))
    (folder / "stable-plugin-descriptor.properties").write_text(_descriptor(version), encoding="utf-8")
    components = {FACTORY: {PLUGIN_NAME: CLASS_NAME}}
    (folder / "named_components.json").write_text(json.dumps(components), encoding="utf-8")


def _compile(home: Path, jdk: Jdk, classes: Path) -> None:
    command = [
        str(jdk.javac),
        *("--release", str(OLDEST_VERSION), "-encoding", "UTF-8", "-proc:none"),
        *("-cp", f"{home / 'lib'}/*", "-d", str(classes), str(SOURCE)),
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    if run.returncode != 0:
        raise DistributionUnavailable(
            f"The english analyzer could not be compiled with {jdk.javac}: {(run.stderr or run.stdout).strip()}",
            hint="Point ES_JAVA_HOME to a working JDK, then run again: opinion up",
        )


def _descriptor(version: str) -> str:
    entries = {
        "name": PLUGIN_NAME,
        "description": "The english analyzer, for distributions without analysis-common",
        "version": version,
        "elasticsearch.version": version,
        "java.version": str(OLDEST_VERSION),
    }
    return "".join(f"{key}={value}\n" for key, value in entries.items())

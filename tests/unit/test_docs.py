"""The documents point at things that exist."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page.relative_to(ROOT)
    for folder in (ROOT, *(ROOT / name for name in ("docs", "benchmarks", "src")))
    for page in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
    if "samples" not in page.parts
)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """A link within the repository names a file or folder that is there."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)]
    inside = [link for link in links if link and "://" not in link]
    assert [link for link in inside if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_ci_runs_the_second_command_of_the_readme() -> None:
    """What CI runs is what a newcomer runs."""
    commands = re.findall(r"^ {4}(\./do \w+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands[:2] == ["./do demo", "./do test"]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip().splitlines()
    assert script[-1] == f"exec {commands[1]}"


def test_every_verb_of_do_is_in_its_help() -> None:
    """`./do help` names each verb that `./do` knows."""
    script = (ROOT / "do").read_text(encoding="utf-8")
    verbs = {
        verb for line in re.findall(r"^  ([a-z |]+)\) ", script, re.MULTILINE) for verb in re.findall(r"[a-z]+", line)
    }
    shown = subprocess.run([ROOT / "do", "help"], capture_output=True, text=True, check=True).stdout
    assert {verb for verb in verbs - {"help", "h"} if not re.search(rf"\b{verb}\b", shown)} == set()


def test_benchmarks_readme_lists_every_script() -> None:
    """Each benchmark is introduced with the question that it answers."""
    listed = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "benchmarks" / "README.md").read_text("utf-8"), re.MULTILINE))
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert listed == scripts - {
        "record",
        "dev_lists",
        "corpus",
        "flashrank_side",
        "system",
        "faulty_system",
        "own_servers",
    }

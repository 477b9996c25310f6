"""A processor without VNNI, emulated: products of 8-bit integers saturate there, and scores must not."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden.test_golden import CURVE, PAIRS, SAME_RELEVANCE, golden
from tests.programs import needed

LOOKED_AT = 2
"""One far from the floor, one near it: the second is computed once more in float32. Emulated, each takes a while."""
PROGRAM = """
import json, sys
from pathlib import Path
from second_opinion.pipeline.adapters import onnx_kernel
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
found = {}
for flags in ("avx avx2 fma", "avx avx2 fma avx512_vnni"):
    # The emulator shows the flags of the processor below it, so these are told.
    onnx_kernel._CPUINFO = Path(sys.argv[1])
    onnx_kernel._CPUINFO.write_text(f"flags: {flags}", encoding="utf-8")
    reranker = OnnxReranker.open(threads=1)
    found[reranker.spec.kernel] = [reranker.score(query, [passage])[0] for query, passage in json.loads(sys.argv[2])]
    reranker.close()
print(json.dumps(found))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates a processor of this family")
def test_the_reranker_scores_as_recorded_where_products_saturate(tmp_path: Path) -> None:
    """Told of the processor it is on, the engine gives each pair its relevance; told of a better one it would not."""
    emulator = needed("qemu-x86_64", purpose="tests processors without VNNI", hint="apt-get install qemu-user")
    arguments = [str(tmp_path / "cpuinfo"), json.dumps(PAIRS[:LOOKED_AT])]
    command = [emulator, "-cpu", "Haswell-noTSX", sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=580)
    found = json.loads(done.stdout)
    recorded = golden("reranker")["shipped"][:LOOKED_AT]
    relevances, expected = ([CURVE.relevance(one) for one in some] for some in (found["avx2"], recorded))
    assert relevances == pytest.approx(expected, abs=SAME_RELEVANCE)
    saturated = [abs(one - right) for one, right in zip(found["avx512-vnni"], recorded, strict=True)]
    # Pairs near the floor are computed in float32, which saturates nowhere; the others show it.
    assert max(saturated) > 0.05, "this emulator does not saturate, so it shows nothing"

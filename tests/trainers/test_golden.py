"""One tiny run a method whose numbers never move, pinned to the processor's kind and torch's version.

    python tests/trainers/test_golden.py

writes this platform's numbers into golden.json; a change there has to be meant.
"""

import json
import platform
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from small import METHODS, finished

GOLDEN = Path(__file__).with_name("golden.json")
PLATFORM = "-".join(
    (platform.system(), platform.machine(), torch.backends.cpu.get_cpu_capability(), torch.__version__.split("+")[0])
)


def record(method: str) -> dict:
    """What is pinned: the last epoch's L, H, accuracies, the final logits and the genotype, to six digits."""
    search = finished(method)
    result = search.result()
    losses = result.tables["losses"].query("group == 'all'").iloc[-1]
    return {
        "L": float(f"{losses.L:.6g}"),
        "H": float(f"{losses.H:.6g}"),
        "acc": result.tables["accuracy"].acc.tolist(),
        "logits": [float(f"{a:.6g}") for a in search.logits.flatten().tolist()],
        "genotype": result.genotypes["darts"][-1].to_json(),
    }


@pytest.mark.parametrize("method", METHODS)
def test_golden(method: str) -> None:
    stored = json.loads(GOLDEN.read_text())
    if PLATFORM not in stored:
        pytest.skip(f"no numbers are stored for {PLATFORM}")
    expected, ours = stored[PLATFORM][method], record(method)
    for name in ("L", "H", "acc", "logits"):
        assert ours[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-7), name
    assert ours["genotype"] == expected["genotype"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    stored = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    stored[PLATFORM] = {method: record(method) for method in METHODS}
    GOLDEN.write_text(json.dumps(stored, indent=1) + "\n")

"""The benchmark: that it measures what it says, on the smallest network."""

import json
from pathlib import Path

import bench
import pytest

TINY = bench.Size(channels=2, cells=1, nodes=1, side=4, batch=4)


def test_multiply_adds_are_those_of_the_search_network() -> None:
    """PAPERS: 300,255,744 of the DARTS and SNAS search network, the classifier's 2,560 included."""
    size = bench.Size(channels=16, cells=8, nodes=4, side=32, batch=1)
    assert sum(bench.multiply_adds(size)) == 300_255_744 - 2_560


def test_variants_take_turns() -> None:
    order: list[str] = []
    found = bench.alternate({name: lambda n=name: order.append(n) for name in ("plain", "fused")}, 0)
    assert order == ["plain", "fused"] * 3
    assert set(found) == {"plain", "fused", "x fused"}


def test_memory_grows_with_the_batch() -> None:
    if bench.platform.system() != "Linux":
        pytest.skip("only Linux tells")
    small, large = (bench.peak_memory(bench.Size(8, 1, 2, 16, batch=b), "SNAS", "plain") for b in (4, 256))
    assert large > small + 10


@pytest.mark.parametrize("method", bench.METHODS)
@pytest.mark.parametrize("variant", bench.VARIANTS)
def test_every_step_runs(method: str, variant: str) -> None:
    bench.step(TINY, method, variant)()


def test_bench_prints_and_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(bench, "SIZES", {"tiny": TINY, "W2a": TINY})
    monkeypatch.setattr(bench, "GROWTH", {"batch": (2, 4)})
    monkeypatch.setattr(bench, "rates", lambda: (1e6, 1e6))
    out = tmp_path / "bench.json"
    assert bench.main(["--sizes", "tiny", "--seconds", "0", "--no-memory", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == 2 * (len(bench.METHODS) + 1) + 2
    assert all(row["x fused"] > 0 for row in rows)
    assert "tiny" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        bench.main(["--sizes", "huge"])
    assert "unknown size 'huge'" in capsys.readouterr().err

"""The claim on detectors, on tables made by hand."""

from dataclasses import dataclass

import pandas as pd
import pytest

from nas_core.claims import evaluate, per_seed
from nas_core.claims.mixpath_detection import RUNS
from nas_core.experiments import configs
from nas_core.trainers.settings import RunConfig


@dataclass
class Fake:
    """Stands in for a record."""

    config: RunConfig
    precisions: dict

    def table(self, name):
        assert name == "precision"
        return pd.DataFrame({"answer": list(self.precisions), "AP50": list(self.precisions.values())})


def records(*trained, untrained=0.01, constant=0.02, seeds=5):
    """One list for each run, all seeds nearly alike; ``trained``: AP50 on each backbone, a share."""
    found = {}
    for run, share in zip(RUNS.split(), trained, strict=True):
        found[run] = []
        for config in configs(run, "laptop", range(seeds)):
            numbers = {"constant boxes": constant, "untrained": untrained, "trained": share + 0.001 * config.seed}
            found[run].append(Fake(config, numbers))
    return found


def test_exact_the_smallest_margin_over_the_larger_baseline_counts_in_points():
    assert per_seed("C-MT3b", *records(0.3, 0.1, 0.2, seeds=1).values()) == pytest.approx(100 * (0.1 - 0.02))
    assert per_seed("C-MT3b", *records(0.3, 0.1, 0.2, untrained=0.05, seeds=1).values()) == pytest.approx(5)


@pytest.mark.parametrize(("worst", "verdict"), [(0.1, "holds"), (0.01, "fails"), (0.018, "inconclusive")])
def test_the_verdict_is_that_of_the_worst_backbone(worst, verdict):
    found = evaluate("C-MT3b", records(0.3, worst, 0.2))
    assert found.verdict == verdict
    assert not found.null.meets
    assert found.null.value == pytest.approx(-1.0)
    assert found.evidence == (verdict == "holds")


def test_few_seeds_say_nothing():
    assert evaluate("C-MT3b", records(0.3, 0.1, 0.2, seeds=3)).verdict == "inconclusive"


@pytest.mark.parametrize(("found", "drawn", "verdict"), [(0.3, 0.2, "holds"), (0.2, 0.3, "fails")])
def test_the_found_child_is_compared_with_the_random_one_seed_by_seed(found, drawn, verdict):
    ours = records(0.9, 0.9, found)["M-DETch"]
    other = [
        Fake(config, {"trained": drawn + 0.001 * config.seed + (0.01 if config.seed else 0)})
        for config in configs("M-DETrand", "laptop", range(5))
    ]
    judged = evaluate("C-SM2a", {"M-DETch": ours, "M-DETrand": other})
    assert judged.verdict == verdict
    assert judged.value == pytest.approx(100 * (found - drawn) - 0.8)
    assert judged.null.value == 0

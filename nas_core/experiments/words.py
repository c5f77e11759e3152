"""What a run is, in the plain words of a caption."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import singledispatch

from nas_core import data
from nas_core.cells.mixpath import AFTER_PROJECTION, AFTER_SUM, NEVER
from nas_core.trainers.cell_scores import CellScoresConfig
from nas_core.trainers.cells_alone import CellsAloneConfig
from nas_core.trainers.chain_child_settings import ChainChildConfig
from nas_core.trainers.chain_ranks import ChainRanksConfig
from nas_core.trainers.chain_settings import ChainSearchConfig, ChainTrainingConfig, LatencyTerm, PredictorConfig
from nas_core.trainers.cost_probe import CostProbeConfig
from nas_core.trainers.detection_settings import Coco, DetectionConfig, Scenes
from nas_core.trainers.enas_settings import ControllerConfig
from nas_core.trainers.front_settings import FrontConfig
from nas_core.trainers.methods import DARTS, SNAS, Method, ProxylessNAS, Reinforce, SecondOrder, Uniform
from nas_core.trainers.multipath_settings import MultiPathConfig
from nas_core.trainers.parallel_search import ParallelSearchConfig
from nas_core.trainers.retraining_settings import RetrainingConfig
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Data, RunConfig
from nas_core.trainers.shadow_norms import ShadowNormsConfig

CHILDREN = {"found": "a found child alone", "random": "a random child of like cost alone"}
FRONTS = {"NSGA-II": "NSGA-II", "random": "random children"}
NORMS = {"shadow": "shadow batch norms", "plain": "one batch norm"}
PLACED = {AFTER_PROJECTION: "", AFTER_SUM: f" {AFTER_SUM}", NEVER: f" {NEVER}"}  # the usual place goes without saying
LEVELS = {"single": "on one level", "bi-level": "bi-level"}


def described(configs: Iterable[RunConfig]) -> str:
    """Method, images, epochs and seeds of every group of runs that differ by their seed alone, and then their data.

    "DSNAS (8,000 images, 16 epochs, 20 seeds) on Fashion-MNIST, 7 × 7 pixels".
    """
    groups: dict[RunConfig, int] = {}
    for config in configs:
        same = config.but(seed=0)
        groups[same] = groups.get(same, 0) + 1
    parts = [_group(config, seeds) for config, seeds in groups.items()]
    images = _data_names(groups)
    on_images = f" on {' and '.join(images)}" if images else ""
    return f"{'; '.join(dict.fromkeys(parts))}{on_images}{_scale(groups)}"


def sentences(parts: Sequence[str]) -> str:
    """The parts that are there as sentences: each begins with a capital letter and ends with a full stop."""
    said = [part.strip().rstrip(".") for part in parts if part.strip()]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in said)


def plural(count: int, thing: str) -> str:
    """``1 seed``, ``8,000 images``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _group(config: RunConfig, seeds: int) -> str:
    sizes = seen(config)
    epochs = getattr(trained(config), "epochs", None)
    if epochs:
        sizes.append(plural(epochs, "epoch"))
    sizes += amounts(config)
    sizes.append(plural(seeds, "seed"))
    return f"{method_name(config)} ({', '.join(sizes)})"


def _images(source: Data) -> str:
    if source.search:
        return f"{source.train:,} + {source.search:,} images"
    return plural(source.train, "image")


def _data_names(configs: Iterable[RunConfig]) -> list[str]:
    """The data sets with the size of their images, each once."""
    names: dict[str, None] = {}
    for config in configs:
        names.update(dict.fromkeys(data_names(config)))
    return list(names)


def _scale(configs: Iterable[RunConfig]) -> str:
    """That a picture comes from a profile that proves paths and shows nothing."""
    return " (a test of the path, not a result)" if any(config.profile == "smoke" for config in configs) else ""


@singledispatch
def method_name(config: RunConfig) -> str:
    """What a paper calls the method of a run.

    Every kind of settings registers its own words, by :func:`called` or below ``@method_name.register``. One that has
    none is called by its class: ``RandomSearchConfig`` is a "random search".
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(config).__name__.removesuffix("Config")).lower()


@singledispatch
def trained(config: RunConfig) -> RunConfig | None:
    """The run that trains what a run is about: by default itself; None if nothing is trained."""
    return config


@singledispatch
def seen(config: RunConfig) -> list[str]:
    """How many images the run sees: "8,000 images"; empty where it sees none."""
    return [_images(source) for source in config.images()[:1]]


@singledispatch
def data_names(config: RunConfig) -> list[str]:
    """The data sets that the run sees, with the size of their images."""
    names = []
    for source in config.images():
        loaded = data.load(source.name, train=source.train, search=source.search)
        height, width = loaded.size
        names.append(f"{loaded.source.title}, {height} × {width} pixels")
    return names


@singledispatch
def amounts(config: RunConfig) -> list[str]:
    """How much there is of what a kind of run counts besides images, epochs and seeds: "50 evaluations"."""
    return []


@singledispatch
def in_search(method: Method) -> str:
    """What a paper calls a method of the search loop."""
    return type(method).__name__


def called(kind: type[RunConfig], words: str) -> None:
    """Let :func:`method_name` call all runs of a kind alike."""
    method_name.register(kind, lambda config: words)


called(ControllerConfig, "ENAS")
called(RetrainingConfig, "retraining")
called(PredictorConfig, "a predictor of latency")
called(CellsAloneConfig, "every cell alone")
called(ParallelSearchConfig, f"DARTS, {LEVELS['bi-level']}")
in_search.register(SecondOrder, lambda method: "DARTS, second order")
in_search.register(Reinforce, lambda method: "REINFORCE")
in_search.register(Uniform, lambda method: "single paths drawn uniformly")


@method_name.register
def _(config: SearchConfig) -> str:
    return in_search(config.method)


@in_search.register
def _(method: SNAS) -> str:
    return "SNAS" if method.resource is None else "SNAS with a resource constraint"


@in_search.register
def _(method: DARTS) -> str:
    return f"DARTS, {LEVELS[method.levels]}"


@in_search.register
def _(method: ProxylessNAS) -> str:
    return "ProxylessNAS, all paths" if method.paths == "all" else "ProxylessNAS"


@method_name.register
def _(config: CostProbeConfig) -> str:
    return "costs before training" if config.after is None else "costs after training"


@trained.register
def _(config: CostProbeConfig) -> RunConfig | None:
    return config.after


@amounts.register
def _(config: CostProbeConfig) -> list[str]:
    return [f"{config.networks * config.batches:,} batches"]


@method_name.register
def _(config: ChainSearchConfig) -> str:
    if isinstance(config.latency, LatencyTerm):
        return f"ProxylessNAS with latency in its loss, {config.latency.form}"
    if not config.method.update_alpha:
        return "single paths drawn uniformly"
    return in_search(config.method)


@method_name.register
def _(config: ChainTrainingConfig) -> str:
    return "all chains of the space trained alone" if config.every else "chains trained alone"


@method_name.register
def _(config: ChainRanksConfig) -> str:
    return f"searches beside the ground truth of {plural(len(config.truth), 'training')} of every chain"


@method_name.register
def _(config: MultiPathConfig) -> str:
    placed = PLACED[config.paths.placement]
    return f"MixPath with at most {config.paths.most} paths and {NORMS[config.paths.norms]}{placed}"


@method_name.register
def _(config: ShadowNormsConfig) -> str:
    before = " before training" if config.state == "untrained" else ""
    return f"{method_name(config.supernet)}{before}"


@trained.register
def _(config: ShadowNormsConfig) -> RunConfig | None:
    return config.supernet if config.state == "trained" else None


@method_name.register
def _(config: CellScoresConfig) -> str:
    return method_name(config.after)


@trained.register
def _(config: CellScoresConfig) -> RunConfig | None:
    return config.after


@method_name.register
def _(config: FrontConfig) -> str:
    return FRONTS[config.algorithm]


@trained.register
def _(config: FrontConfig) -> RunConfig | None:
    return config.after


@amounts.register
def _(config: FrontConfig) -> list[str]:
    return [plural((2 + config.generations) * config.size, "evaluation")]


@method_name.register
def _(config: ChainChildConfig) -> str:
    return CHILDREN[config.pick]


@method_name.register
def _(config: DetectionConfig) -> str:
    return f"RetinaNet on {config.backbone.title}"


@seen.register
def _(config: DetectionConfig) -> list[str]:
    return [f"{config.pictures.train:,} scenes"] if isinstance(config.pictures, Scenes) else []


@data_names.register
def _(config: DetectionConfig) -> list[str]:
    if isinstance(config.pictures, Coco):
        return ["COCO"]
    return data_names.dispatch(RunConfig)(config)

"""What a run is, in the plain words of a caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nas_core import data
from nas_core.trainers.cell_scores import CellScoresConfig
from nas_core.trainers.cells_alone import CellsAloneConfig
from nas_core.trainers.chain_child_settings import ChainChildConfig
from nas_core.trainers.chain_ranks import ChainRanksConfig
from nas_core.trainers.chain_settings import ChainSearchConfig, ChainTrainingConfig, LatencyTerm, PredictorConfig
from nas_core.trainers.cost_probe import CostProbeConfig
from nas_core.trainers.detection_settings import DetectionConfig, Scenes
from nas_core.trainers.enas_settings import ControllerConfig
from nas_core.trainers.front_settings import FrontConfig
from nas_core.trainers.methods import DARTS, DSNAS, SNAS, ProxylessNAS, Reinforce, SecondOrder, Uniform
from nas_core.trainers.multipath_settings import MultiPathConfig
from nas_core.trainers.parallel_search import ParallelSearchConfig
from nas_core.trainers.retraining_settings import RetrainingConfig
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Data, RunConfig
from nas_core.trainers.shadow_norms import ShadowNormsConfig

CHILDREN = {"found": "a found child alone", "random": "a random child of like cost alone"}
FRONTS = {"NSGA-II": "NSGA-II", "random": "random children"}
NORMS = {"shadow": "shadow batch norms", "plain": "one batch norm"}
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


def method_name(config: RunConfig) -> str:
    """What a paper calls the method of a run."""
    if isinstance(config, ControllerConfig):
        return "ENAS"
    if isinstance(config, RetrainingConfig):
        return "retraining"
    if isinstance(config, DetectionConfig):
        return f"RetinaNet on {config.backbone.title}"
    if isinstance(config, CostProbeConfig):
        return "costs before training" if config.after is None else "costs after training"
    if isinstance(config, MultiPathConfig):
        return f"MixPath with at most {config.paths.most} paths and {NORMS[config.paths.norms]}"
    if isinstance(config, ShadowNormsConfig):
        before = " before training" if config.state == "untrained" else ""
        return f"{method_name(config.supernet)}{before}"
    if isinstance(config, CellScoresConfig):
        return method_name(config.after)
    if isinstance(config, CellsAloneConfig):
        return "every cell alone"
    if isinstance(config, ParallelSearchConfig):
        return f"DARTS, {LEVELS['bi-level']}"
    if isinstance(config, ChainTrainingConfig):
        return "all chains of the space trained alone" if config.every else "chains trained alone"
    if isinstance(config, ChainRanksConfig):
        return f"searches beside the ground truth of {plural(len(config.truth), 'training')} of every chain"
    if isinstance(config, ChainSearchConfig) and not config.method.update_alpha:
        return "single paths drawn uniformly"
    if isinstance(config, PredictorConfig):
        return "a predictor of latency"
    if isinstance(config, ChainChildConfig):
        return CHILDREN[config.pick]
    if isinstance(config, FrontConfig):
        return FRONTS[config.algorithm]
    if not isinstance(config, SearchConfig | ChainSearchConfig):
        return "random search"
    method = config.method
    term = getattr(config, "latency", None)
    if isinstance(term, LatencyTerm):
        return f"ProxylessNAS with latency in its loss, {term.form}"
    match method:
        case SNAS():
            return "SNAS" if method.resource is None else "SNAS with a resource constraint"
        case DSNAS():
            return "DSNAS"
        case SecondOrder():
            return "DARTS, second order"
        case DARTS():
            return f"DARTS, {LEVELS[method.levels]}"
        case ProxylessNAS(paths="all"):
            return "ProxylessNAS, all paths"
        case ProxylessNAS():
            return "ProxylessNAS"
        case Reinforce():
            return "REINFORCE"
        case Uniform():
            return "single paths drawn uniformly"
    return type(method).__name__


def plural(count: int, thing: str) -> str:
    """``1 seed``, ``8,000 images``."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _group(config: RunConfig, seeds: int) -> str:
    sizes = [_images(source) for source in config.images()[:1]]
    if isinstance(config, DetectionConfig) and isinstance(config.pictures, Scenes):
        sizes = [f"{config.pictures.train:,} scenes"]
    trained = _trained(config)
    epochs = getattr(trained, "epochs", None)
    if epochs:
        sizes.append(plural(epochs, "epoch"))
    if isinstance(config, CostProbeConfig):
        sizes.append(f"{config.networks * config.batches:,} batches")
    if isinstance(config, FrontConfig):
        sizes.append(plural((2 + config.generations) * config.size, "evaluation"))
    sizes.append(plural(seeds, "seed"))
    return f"{method_name(config)} ({', '.join(sizes)})"


def _trained(config: RunConfig) -> RunConfig | None:
    """The run that trains what a run is about, itself or another one; None if nothing is trained."""
    if isinstance(config, CostProbeConfig | CellScoresConfig):
        return config.after
    if isinstance(config, ShadowNormsConfig):
        return config.supernet if config.state == "trained" else None
    if isinstance(config, FrontConfig):
        return config.after
    return config


def _images(source: Data) -> str:
    if source.search:
        return f"{source.train:,} + {source.search:,} images"
    return plural(source.train, "image")


def _data_names(configs: Iterable[RunConfig]) -> list[str]:
    """The data sets with the size of their images, each once."""
    names: dict[str, None] = {}
    for config in configs:
        if isinstance(config, DetectionConfig) and not config.images():
            names["COCO"] = None
        for source in config.images():
            loaded = data.load(source.name, train=source.train, search=source.search)
            height, width = loaded.size
            names[f"{loaded.source.title}, {height} × {width} pixels"] = None
    return list(names)


def _scale(configs: Iterable[RunConfig]) -> str:
    """That a picture comes from a profile that proves paths and shows nothing."""
    return " (a test of the path, not a result)" if any(config.profile == "smoke" for config in configs) else ""

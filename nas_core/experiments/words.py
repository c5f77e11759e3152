"""What a run is, in the plain words of a caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nas_core import data
from nas_core.trainers.cost_probe import CostProbeConfig
from nas_core.trainers.detection_settings import DetectionConfig, Scenes
from nas_core.trainers.enas_settings import ControllerConfig
from nas_core.trainers.methods import DARTS, DSNAS, SNAS, ProxylessNAS, Reinforce, SecondOrder, Uniform
from nas_core.trainers.retraining_settings import RetrainingConfig
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import Data, RunConfig

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
    return f"{'; '.join(dict.fromkeys(parts))} on {' and '.join(_data_names(groups))}{_scale(groups)}"


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
    if not isinstance(config, SearchConfig):
        return "random search"
    method = config.method
    match method:
        case SNAS():
            return "SNAS" if method.resource is None else "SNAS with a resource constraint"
        case DSNAS():
            return "DSNAS"
        case SecondOrder():
            return "DARTS, second order"
        case DARTS():
            return f"DARTS, {LEVELS[method.levels]}"
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
    trained = config.after if isinstance(config, CostProbeConfig) else config
    epochs = getattr(trained, "epochs", None)
    if epochs:
        sizes.append(plural(epochs, "epoch"))
    if isinstance(config, CostProbeConfig):
        sizes.append(f"{config.networks * config.batches:,} batches")
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

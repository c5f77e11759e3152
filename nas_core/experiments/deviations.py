"""What a profile does otherwise than the papers: the difference of the settings, in plain words, field by field.

Nothing is left out by hand: every field of the settings has a label, and what a paper does not say is listed too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nas_core import data
from nas_core.errors import UserError
from nas_core.experiments import EXPERIMENTS, configs
from nas_core.experiments.words import method_name
from nas_core.trainers.detection_settings import DetectionConfig
from nas_core.trainers.enas_settings import ControllerConfig
from nas_core.trainers.methods import SNAS
from nas_core.trainers.search_settings import SearchConfig
from nas_core.trainers.settings import RunConfig, Settings

COLUMNS = ["runs", "setting", "paper", "here"]
# Sizes in pixels, crop and mirror of data sets that need not be here.
KNOWN = {"cifar10": ("CIFAR-10, 32 × 32 pixels", "crop after padding by 4 pixels, and mirror")}
# Fields that say which run it is, and not how it is done.
IDENTITY = {"run", "profile", "seed", "kind", "method.method", "cells.origin", "of", "after", "supernet", "truth"} | {
    "algorithm",
    "place",
    "pick",
}
IDENTITY |= {"pictures.origin", "backbone.origin"}
LABELS = {
    "threads": "threads",
    "device": "device",
    "data.name": "images",
    "data.train": "images for the weights",
    "data.search": "images for the logits alone",
    "data.valid": "images that choose",
    "data.test": "images that report",
    "network.cell": "cell",
    "network.nodes": "intermediate nodes of a cell",
    "network.candidates": "candidate operations",
    "network.allowed": "edges with fewer candidates",
    "network.channels": "channels of the first cell",
    "network.cells": "cells stacked",
    "network.layers": "cells stacked",
    "network.reductions": "reduction cells",
    "network.head_bias": "bias of the classifier",
    "network.normaliser": "normaliser of the cells",
    "network.affine": "scale and shift in the normalisers",
    "network.order": "order of ReLU, convolution and normaliser",
    "network.eps": "added to the variance by the normalisers",
    "method.update_theta": "weights learn",
    "method.update_alpha": "logits learn",
    "method.levels": "levels",
    "method.temperature": "temperature in the first and the last epoch",
    "method.drop_path": "dropped paths in the search",
    "method.cost_clamp": "bound on an edge's cost",
    "method.relaxation": "relaxation",
    "method.paths": "paths whose costs a step measures",
    "method.samples": "networks drawn for a step",
    "method.baseline_momentum": "momentum of the baseline",
    "method.entropy": "weight of the entropy in the reward",
    "method.estimator": "estimator of the second order",
    "method.resource.weight": "weight of the resources",
    "method.resource.penalty": "penalty on the resources",
    "method.resource.estimator": "gradient of the resources",
    "method.resource": "resource constraint",
    "method.remedy": "remedy for the bias of none",
    "method.remedy.centre": "costs relative to the mean of the",
    "method.remedy.none_free": "share of the epochs without none, at the start",
    "method.remedy.calibrated": "scale of class logits fitted for the logits' loss",
    "weights.lr": "learning rate of the weights",
    "weights.lr_min": "its end",
    "weights.momentum": "momentum of the weights",
    "weights.decay": "decay of the weights",
    "weights.clip": "bound on the weights' gradient",
    "alpha.lr": "learning rate of the logits",
    "alpha.betas": "Adam's averages for the logits",
    "alpha.decay": "decay of the logits",
    "alpha.clip": "bound on the logits' gradient",
    "alpha.init_mean": "mean of the first logits",
    "alpha.init_std": "standard deviation of the first logits",
    "controller.layers": "layers of the controller's LSTM",
    "controller.size": "size of its state",
    "controller.init": "bound on its first parameters",
    "controller.tanh": "bound on its logits",
    "controller.temperature": "temperature of its logits",
    "controller.lr": "learning rate of the controller",
    "controller.betas": "Adam's averages for the controller",
    "controller.clip": "bound on the controller's gradient",
    "controller.steps": "steps of the controller in an epoch",
    "controller.samples": "networks drawn for a step of the controller",
    "controller.baseline_decay": "decay of the controller's baseline",
    "controller.entropy_weight": "weight of the entropy in the controller's reward",
    "controller.update": "controller learns",
    "controller.tried": "networks drawn in the end, of which one is derived",
    "epochs": "epochs",
    "batch": "images a step",
    "probes": "what is recorded",
    "formulation": "formulation of the supernet",
    "cells.nodes": "intermediate nodes of a cell",
    "cells.candidates": "candidate operations",
    "cells.reductions": "reduction cells",
    "cells.channels": "channels of the first cell",
    "cells.layers": "cells stacked",
    "cells.rule": "rule that derives the cell",
    "cells.arch": "released architecture",
    "cells.number": "which of the random cells",
    "cells.genotype": "genotype",
    "network.stem": "what precedes the cells",
    "network.auxiliary": "weight of the auxiliary loss",
    "network.drop_path": "dropped paths in the last epoch of a retraining",
    "network.cutout": "side of the cutout in pixels",
    "samples": "networks drawn",
    "keep_weights": "final weights stay for a probe",
    "networks": "networks whose costs are measured",
    "batches": "batches for each network",
    "network.name": "chain that is searched",
    "table": "table of latencies",
    "latency": "latency in the loss",
    "latency.form": "how latency enters the loss",
    "latency.weight": "weight of the latency",
    "latency.reference": "latency that counts as 1, in microseconds",
    "warm_up": "epochs of the weights alone",
    "interval": "steps of the weights for one of the logits",
    "search_batch": "images a step of the logits",
    "drawn": "chains drawn uniformly",
    "every": "all chains of the space are trained",
    "enumerated": "epochs after which all chains are scored",
    "label_smoothing": "smoothing of the labels",
    "hidden": "width of the predictor's hidden layers",
    "held_out": "share of held-out blocks",
    "lr": "learning rate of the predictor",
    "steps": "steps of the predictor",
    "paths.space": "space of several paths",
    "paths.channels": "channels of the stem",
    "paths.most": "most active paths in a layer",
    "paths.norms": "batch norms of the sum of paths",
    "paths.placement": "where the batch norm of a sum stands",
    "cutout": "side of the cutout in pixels, of a supernet",
    "state": "whether the supernet is trained",
    "cycles": "batches for every combination of paths of a layer, 12 for each number of paths",
    "probed": "batches on which every path is computed alone",
    "features": "images whose first-layer features are kept",
    "children": "children scored for each number of paths",
    "recalibrate": "batches of 250 images that recalibrate a child",
    "size": "individuals of a population",
    "generations": "generations after the initial one",
    "crowding": "weights of the crowding distance",
    "budget": "bound on multiply-adds, between the smallest child and the largest",
    "least_accuracy": "accuracy that every member exceeds",
    "found": "children that the search returns",
    "pictures.data.name": "items of the scenes",
    "pictures.data.train": "items of the scenes that train",
    "pictures.data.search": "items for logits",
    "pictures.data.valid": "items of scenes that choose",
    "pictures.data.test": "items of the scenes that report",
    "pictures.train": "images with boxes that train",
    "pictures.test": "images with boxes that report",
    "pictures.side": "side of a scene in pixels",
    "pictures.sizes": "sides of the smallest and the largest item in pixels",
    "pictures.most": "items in a scene, at most",
    "pictures.overlap": "overlap (IoU) of two boxes, at most",
    "backbone.name": "backbone",
    "backbone.width": "share of the backbone's channels",
    "reader.channels": "channels of the feature pyramid",
    "reader.first": "finest stage of the pyramid",
    "reader.coarser": "two more maps above the last stage",
    "reader.groups": "groups of the heads' group norms",
    "reader.anchor": "side of the smallest anchor in pixels of its map",
    "reader.scales": "anchors an octave",
    "reader.sides": "sides that images are scaled to",
    "reader.threshold": "smallest score of a detection",
    "reader.candidates": "detections a map before overlapping ones are dropped",
    "reader.kept": "detections an image",
    "steps.lr": "learning rate of the detector",
    "steps.falls": "epochs after which it falls to a tenth",
    "steps.warm": "steps in which it rises",
    "steps.momentum": "momentum of the detector",
    "steps.decay": "decay of the detector",
    "steps.clip": "bound on the detector's gradient",
    "areas": "sides of squares that part small, medium and large boxes",
    "flip": "mirrored images",
    # What follows from several fields:
    "augmentation": "crop and mirror",
    "travel": "travel of the logits (learning rate × steps)",
    "controller travel": "learning rate × steps of the controller",
}


@dataclass(frozen=True)
class Reading:
    """What a paper leaves open or does otherwise at every profile, and what is done here."""

    setting: str
    paper: str
    here: str
    concerns: Callable[[RunConfig], bool]


def _has_resource(config: RunConfig) -> bool:
    return isinstance(config, SearchConfig) and config.method.resource is not None


def _draws_networks(config: RunConfig) -> bool:
    return isinstance(config, ControllerConfig)


def _anneals(config: RunConfig) -> bool:
    return isinstance(config, SearchConfig) and isinstance(config.method, SNAS)


def _is_searched(config: RunConfig) -> bool:
    return isinstance(config, SearchConfig | ControllerConfig)


def _holds_out(config: RunConfig) -> bool:
    return any(source.valid for source in config.images())


READINGS = (
    Reading("training images", "a fixed set", "drawn anew by every seed, whatever their classes", _is_searched),
    Reading(
        "epochs that the annealing takes",
        "T (released code): the last epoch is above the end",
        "T − 1: the last epoch trains at the end",
        _anneals,
    ),
    Reading(
        "how the controller learns",
        "PPO in SNAS's text, REINFORCE in the public codes of ENAS",
        "REINFORCE; entropy enters the reward as a number",
        _draws_networks,
    ),
    Reading(
        "what the controller decides",
        "two inputs and two operations a node (ENAS)",
        "an operation for each of the 28 edges, as in AutoDL's code, so that all methods search one space",
        _draws_networks,
    ),
    Reading(
        "schedule of the shared weights",
        "cosine with restarts (ENAS's code)",
        "one cosine to 1 % of the start",
        _draws_networks,
    ),
    Reading("weight of the resources", "not published", "that of the released code's description", _has_resource),
    Reading(
        "gradient of the resources",
        "policy gradient in the text, three ways in the released code",
        "through the drawn Z, the way of the released code's description",
        _has_resource,
    ),
    Reading(
        "images of the validation accuracy", "the test images", "held-out images, which report nothing", _holds_out
    ),
)


def deviations(runs: Sequence[str], profile: str, named: str = "") -> pd.DataFrame:
    """Everything that ``runs`` do otherwise at ``profile`` than the paper, a row a setting: COLUMNS.

    A reduced run is compared with the run that it reduces, or all of them with the run ``named``. Settings that are
    equal are left out; runs with the same difference share a row. At the profile ``paper`` the readings remain: what
    the papers leave open.
    """
    found: dict[tuple[str, str, str], dict[str, None]] = {}
    everyone: dict[str, None] = {}
    for run in runs:
        (here,) = configs(run, profile, [0])
        (paper,) = configs(named or EXPERIMENTS[run].reduces or run, "paper", [0])
        name = _words(here)
        everyone[name] = None
        for row in (*_differences(paper, here), *_readings(here)):
            found.setdefault(row, {})[name] = None
    rows = []
    for row, names in found.items():
        who = "all" if names == everyone else "; ".join(names)
        rows.append([who, *row])
    return pd.DataFrame(rows, columns=COLUMNS)


def in_words(config: RunConfig) -> dict[str, str]:
    """Every setting of a run by its label: its fields, and what follows from them.

    A field without a label is a :class:`UserError`.
    """
    found = {}
    for place, value in fields(config):
        if place in IDENTITY:
            continue
        if place not in LABELS:
            raise UserError(f"the setting {place!r} has no label in nas_core.experiments.deviations.")
        found[LABELS[place]] = _data_name(value) if place.endswith("data.name") else _value(value)
    if not isinstance(config, DetectionConfig):  # whose settings say themselves what training images go through
        for images in config.images():
            found[LABELS["augmentation"]] = _augmentation(images.name)
    if isinstance(config, SearchConfig):
        found[LABELS["travel"]] = _value(round(config.alpha.lr * config.epochs * config.steps_per_epoch, 1))
    if isinstance(config, ControllerConfig):
        learned = config.controller
        found[LABELS["controller travel"]] = _value(round(learned.lr * config.epochs * learned.steps, 1))
    return found


def fields(settings: Settings, before: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of settings, and of those in them, by dotted name; not those of other runs."""
    for name, value in settings:
        if isinstance(value, RunConfig):
            continue  # a run of its own, which is compared by itself
        if isinstance(value, Settings) and name != "estimator":
            yield from fields(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _differences(paper: RunConfig, here: RunConfig) -> Iterator[tuple[str, str, str]]:
    printed, ours = in_words(paper), in_words(here)
    for label in dict.fromkeys((*printed, *ours)):
        pair = printed.get(label, "–"), ours.get(label, "–")
        if pair[0] != pair[1]:
            yield label, *pair


def _readings(config: RunConfig) -> Iterator[tuple[str, str, str]]:
    for reading in READINGS:
        if reading.concerns(config):
            yield reading.setting, reading.paper, reading.here


def _words(config: RunConfig) -> str:
    """A run as a row of the table names it."""
    name = method_name(config)
    if isinstance(config, SearchConfig) and config.network.nodes != 4:
        name += f", {config.network.nodes} intermediate nodes"
    return name


def _value(value: Any) -> str:
    """A setting as one reads it: 8,000; 3 × 10⁻⁴; yes; a list with commas."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(_value(item) for item in value)
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Settings):
        return ", ".join(_value(item) for _, item in value)
    return str(value).replace("_", " ").replace("3x3", "3 × 3").replace("5x5", "5 × 5")


def _number(value: float) -> str:
    text = f"{value:.3g}"
    if value and abs(value) < 1e-2:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        text = f"{mantissa.removesuffix('.0')} × 10{power}"
    return text.replace("-", "−")


def _data_name(name: str) -> str:
    if name in KNOWN:
        return KNOWN[name][0]
    loaded = data.load(name, train=1)
    height, width = loaded.size
    return f"{loaded.source.title}, {height} × {width} pixels"


def _augmentation(name: str) -> str:
    if name in KNOWN:
        return KNOWN[name][1]
    source = data.load(name, train=1).source
    return augmentation(source.pad, source.flip)


def augmentation(pad: int, flip: bool) -> str:
    """What training images go through, in words."""
    parts = [f"crop after padding by {pad} pixels"] if pad else []
    if flip:
        parts.append("and mirror" if parts else "mirror")
    return ", ".join(parts) or "none"

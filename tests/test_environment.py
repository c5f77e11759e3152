"""Ranges, exact versions and conda's environment say the same; every dependency has its reason; CITATION.cff reads."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPO = Path(__file__).resolve().parents[1]
CONDA = {"pytorch": "torch"}  # the names that differ
FIVE = {"DARTS", "ProxylessNAS", "SNAS", "Understanding the wiring evolution", "MixPath"}
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
ENVIRONMENT = REPO / "environment.yml"


def by_name(lines: list[str]) -> dict[str, Requirement]:
    """Requirements by canonical PyPI name."""
    found = {}
    for line in lines:
        requirement = Requirement(line)
        name = canonicalize_name(CONDA.get(requirement.name, requirement.name))
        assert name not in found, f"{name} is there twice"
        found[name] = requirement
    return found


@pytest.fixture(scope="module")
def wanted() -> dict[str, Requirement]:
    """What pyproject.toml asks for, test extra included."""
    return by_name([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]])


def test_every_extra_is_there_when_testing(wanted: dict[str, Requirement]) -> None:
    for extra in PROJECT["optional-dependencies"].values():
        assert by_name(extra).items() <= wanted.items()


@pytest.fixture(scope="module")
def conda() -> dict[str, Requirement]:
    """What environment.yml asks for, its pip section included and ``-e .`` left out."""
    listed = yaml.safe_load(ENVIRONMENT.read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    assert "-e ." in pip, "the project itself is not installed"
    return by_name([*(entry for entry in listed if isinstance(entry, str)), *(line for line in pip if line != "-e .")])


def test_conda_and_pyproject_name_the_same(wanted: dict[str, Requirement], conda: dict[str, Requirement]) -> None:
    assert set(conda) - {"python", "pip"} == set(wanted)


def test_conda_and_pyproject_give_the_same_ranges(
    wanted: dict[str, Requirement], conda: dict[str, Requirement]
) -> None:
    assert conda["python"].specifier == PROJECT["requires-python"]
    differ = {name for name in wanted if conda[name].specifier != wanted[name].specifier}
    assert not differ


def test_only_conda_forge() -> None:
    assert yaml.safe_load(ENVIRONMENT.read_text())["channels"] == ["conda-forge"]


def test_every_dependency_has_a_reason() -> None:
    lines = [line.strip() for line in ENVIRONMENT.read_text().partition("dependencies:")[2].splitlines()]
    entries = [line for line in lines if line.startswith("- ") and line != "- pip:"]
    assert not [line for line in entries if not re.search(r"  # \w.{5,}", line)]


def test_constraints_are_exact_and_within_the_ranges(wanted: dict[str, Requirement]) -> None:
    lines = [line for line in (REPO / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    exact = by_name(lines)
    versions = {}
    for name, requirement in exact.items():
        (only,) = requirement.specifier
        assert only.operator == "==", f"{requirement} is not exact"
        assert not requirement.url
        versions[name] = only.version
    assert set(wanted) <= set(versions), "a direct dependency has no exact version"
    outside = {name for name in wanted if versions[name] not in wanted[name].specifier}
    assert not outside


def test_torch_and_torchvision_match() -> None:
    """torchvision 0.k belongs to torch 2.(k-15): since torch 2.0 with 0.15 both have counted up together."""
    text = (REPO / "constraints.txt").read_text()
    torch, vision = (re.search(rf"^{name}==\d+\.(\d+)\.", text, re.M) for name in ("torch", "torchvision"))
    assert torch
    assert vision
    assert int(vision[1]) - int(torch[1]) == 15


def test_citation_names_the_papers() -> None:
    citation = yaml.safe_load((REPO / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"]
    titles = [reference["title"] for reference in citation["references"]]
    assert all(any(title.startswith(paper) for title in titles) for paper in FIVE)
    assert all(reference["authors"] and reference["year"] for reference in citation["references"])

"""What there is of every run, and so what :func:`nas_core.runs.obtain` would do about it, and why."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nas_core.files import writing
from nas_core.runs import checkpoints, sources, store
from nas_core.runs.store import Record, folder_of, open_record
from nas_core.runs.tree import Damaged
from nas_core.trainers.settings import RunConfig

FOUND = "found"  # nothing to do
CHANGED = "changed"  # other source computed the record: a replay decides
OUTDATED = "outdated"  # what it needs has other numbers now: to be recomputed
INTERRUPTED = "interrupted"  # no record, but a checkpoint
MISSING = "missing"  # neither
DAMAGED = "damaged"  # to be recomputed, from its checkpoint if there is one
NEEDS = "needs"  # decided when the runs that it needs are done


class State(NamedTuple):
    """``kind`` is one of the above, ``why`` says it in words; ``record`` is there if it is intact."""

    kind: str
    why: str
    record: Record | None = None

    def __str__(self) -> str:
        return self.why


def with_needed(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """``configs`` and all runs that they need, each once, after those that it needs itself."""
    found: dict[str, RunConfig] = {}

    def add(config: RunConfig) -> None:
        if config.key() in found:
            return
        for need in config.needs():
            add(need)
        found[config.key()] = config

    for config in configs:
        add(config)
    return list(found.values())


def explain(configs: Sequence[RunConfig]) -> list[tuple[RunConfig, State]]:
    """The state of ``configs`` and of all runs that they need, needed ones first; computes and changes nothing."""
    states: dict[str, State] = {}
    explained = []
    for config in with_needed(configs):
        with writing(folder_of(config.key()), action="read"):
            state = _state(config, states)
        states[config.key()] = state
        explained.append((config, state))
    return explained


def _state(config: RunConfig, states: Mapping[str, State]) -> State:
    needed = {}
    for need in config.needs():
        state = states[need.key()]
        if state.kind != FOUND or state.record is None:
            return State(NEEDS, f"needs {need.key()}: {state}")
        needed[need.key()] = state.record
    return judge(config, needed)


def judge(config: RunConfig, needed: Mapping[str, Record]) -> State:
    """The state of a run; ``needed``: the valid records that it needs, by key."""
    folder = folder_of(config.key())
    if folder.exists() and not folder.is_dir():
        return State(DAMAGED, f"damaged record: {folder} is not a folder")
    if not (folder / store.RECORD).exists():
        step = checkpoints.newest_step(folder)
        return State(MISSING, "no record") if step is None else State(INTERRUPTED, f"interrupted at step {step}")
    try:
        record = open_record(folder, config)
    except Damaged as error:
        return State(DAMAGED, f"damaged record: {error}")
    other = [key for key, digest in digests(needed).items() if record.provenance.get("needs", {}).get(key) != digest]
    if other:
        return State(OUTDATED, f"{other[0]}, which it needs, has other numbers now", record)
    if sources.fingerprint(config) not in record.provenance.get("fingerprints", ()):
        return State(CHANGED, "the source has changed: to be replayed", record)
    return State(FOUND, "found", record)


def digests(needed: Mapping[str, Record]) -> dict[str, str]:
    """What a record keeps of those that it needed: the digests of their results, by key."""
    return {key: record.digest for key, record in needed.items()}

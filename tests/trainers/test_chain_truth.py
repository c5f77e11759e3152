"""A space of chains that can be counted: its members, their scores within a search, and the ground truth beside it."""

import numpy as np
import pytest
import torch
from small import run

from nas_core.cells.chain import ZERO
from nas_core.cells.latency import TARGETS, codes, committed, members, one_hot, target
from nas_core.data import load
from nas_core.errors import UserError
from nas_core.experiments import configs
from nas_core.experiments.proxyless_truth import EXPERIMENTS, RANKS, SCORED, SEARCHES, TRUTH
from nas_core.trainers.chain_ranks import ChainRanks
from nas_core.trainers.chain_search import ChainSearch
from nas_core.trainers.chain_training import ChainTraining
from nas_core.trainers.kinds import settings_from

SPACE = target("small-27")


def smoke(name: str, **changes):
    return EXPERIMENTS[name].config(name, "smoke").but(seed=3, **changes)


def test_exact_the_space_has_27_members_of_the_small_chain() -> None:
    every = members(SPACE)
    assert len(set(every)) == 27
    assert SPACE.macro == TARGETS["small"].macro
    for slot, held in enumerate(SPACE.all_held()):
        assert set(held) <= set(TARGETS["small"].held(slot))
        assert (ZERO in held) == (len(held) > 1)
    z = one_hot(SPACE)
    assert (z.sum(-1) == 1).all()
    assert len(z.flatten(1).unique(dim=0)) == 27
    last = every[-1]
    assert [SPACE.held(slot)[k] for slot, k in enumerate(z[-1].argmax(-1).tolist())] == list(last)


def test_exact_latencies_are_those_of_the_small_chain() -> None:
    for chain in members(SPACE)[::5]:
        assert committed().of_network("small-27", chain) == committed().of_network("small", chain)


def test_a_space_that_is_too_large_is_not_enumerated() -> None:
    with pytest.raises(UserError, match="74,088 chains is not enumerated"):
        members(TARGETS["small"])
    with pytest.raises(UserError, match="is not enumerated"):
        configs("N-PROX-l0", "smoke", [3])[0].but(enumerated=(1,))
    with pytest.raises(UserError, match="scored after epochs 0 to 3"):
        smoke(SCORED, enumerated=(4,))
    for epochs in ((3, 1), (1, 1)):
        with pytest.raises(UserError, match="have scores in their order, each once"):
            smoke(SCORED, enumerated=epochs)


def test_searches_and_ground_truth_share_no_training_image() -> None:
    """One sees the first half of the training images, the other the second."""
    ours, theirs = load("fashion7-one", train=5000), load("fashion7-other", train=5000)
    every = load("fashion7", train=10_000)
    assert ours.source.splits["train"].images.equal(every.source.splits["train"].images[:5000])
    assert theirs.source.splits["train"].images.equal(every.source.splits["train"].images[5000:])
    assert {config.data.name for run in SEARCHES for config in configs(run, "laptop", [0])} == {"fashion7-one"}
    assert configs(TRUTH, "laptop", [0])[0].data.name == "fashion7-other"
    assert all(config.data.test == 0 for run in SEARCHES for config in configs(run, "laptop", [0]))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_settings_come_back_from_json(name: str) -> None:
    config = smoke(name)
    assert settings_from(config.identity()) == config


def test_looking_at_all_members_changes_nothing_of_a_search() -> None:
    looked = run(ChainSearch(smoke("N-GT-two-r", enumerated=(0, 1, 3))))
    plain = run(ChainSearch(smoke("N-GT-two-r")))
    assert looked.result().array("hits").shape == (3, 27, 64)
    assert np.array_equal(looked.result().array("prob"), plain.result().array("prob"))
    for ours, theirs in zip(looked.model.state_dict().values(), plain.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_hits_are_those_of_the_member_in_one_pass_over_the_search_images() -> None:
    search = run(ChainSearch(smoke(SCORED)))
    assert (search.masked_logits() == ChainSearch(smoke(SCORED)).masked_logits()).all(), "its logits rest"
    images, labels = search.data.batch("search", torch.arange(64))
    with torch.no_grad():
        logits = search.model(images, one_hot(SPACE)[[17]])
    assert np.array_equal(search.result().array("hits")[-1, 17], (logits.argmax(1) == labels).numpy())


def test_end_to_end_a_scored_search_resumes_bit_for_bit() -> None:
    whole = run(ChainSearch(smoke(SCORED)))
    first, second = ChainSearch(smoke(SCORED)), ChainSearch(smoke(SCORED))
    while first.done < 4:
        first.step()
    second.load_state(first.state())
    assert np.array_equal(run(second).result().array("hits"), whole.result().array("hits"))


def test_smoothed_labels_are_for_the_weights_alone() -> None:
    plain, smooth = (ChainSearch(smoke("N-GT-two-r", label_smoothing=s)) for s in (0.0, 0.5))
    draws = [search._draw_from(search.masked_logits(), "probe") for search in (plain, smooth)]
    batch = plain._train_batch()
    assert plain._loss_of_weights(batch, draws[0]) != smooth._loss_of_weights(batch, draws[1])
    assert plain._forward(batch, draws[0]) == smooth._forward(batch, draws[1])
    expected = plain._forward(batch, draws[0])
    assert plain._loss_of_weights(batch, draws[0]) == expected


def test_chains_alone_learn_from_smoothed_labels_too() -> None:
    training = ChainTraining(smoke(TRUTH, label_smoothing=0.5))
    logits, labels = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 4
    log_p = logits.log_softmax(1)
    smoothed = -0.5 * log_p[torch.arange(6), labels] - 0.5 * log_p.mean(1)
    torch.testing.assert_close(training.loss(logits, labels), smoothed.mean())


def test_exact_the_weights_step_down_the_smoothed_loss() -> None:
    """(1 - s) times the cross-entropy and s times the mean over classes of -log p; during warm-up logits rest."""
    search = ChainSearch(smoke("N-GT-two-r", label_smoothing=0.5))
    twin = ChainSearch(smoke("N-GT-two-r"))
    draw, train = twin._draw_from(twin.masked_logits(), "gates"), twin._train_batch()
    log_p = twin.model(*twin._arguments(train, draw, "gates")).log_softmax(1)
    true = log_p[torch.arange(len(log_p)), train.labels]
    expected = -(0.5 * true.mean() + 0.5 * log_p.mean())
    assert search.step() == pytest.approx(expected.item(), rel=1e-5)


def test_end_to_end_all_members_alone_and_the_searches_beside_them() -> None:
    ranks = smoke(RANKS)
    needed = {}
    for config in ranks.needs():
        trainer = ChainTraining(config) if config.run == TRUTH else ChainSearch(config)
        needed[config.key()] = run(trainer).result()
    result = run(ChainRanks(ranks, needed)).result()
    truth = result.table("truth")
    assert truth.groupby("truth_seed")["member"].apply(list).tolist() == [list(range(27))] * 2
    names = [codes(chain) for chain in members(SPACE)]
    assert truth["choices"].tolist() == names * 2
    for alone in ranks.truth:
        measured = needed[alone.key()].table("chains")
        kept = truth[truth["truth_seed"] == alone.seed].reset_index(drop=True)
        columns = ["madds", "latency_us", "valid", "test"]
        assert kept[columns].equals(measured[columns])
    found = result.table("found")
    assert found["search"].tolist() == list(SEARCHES)
    assert [names[member] for member in found["member"]] == found["choices"].tolist()
    by_search = result.table("members").groupby("search")["probability"]
    assert by_search.sum().to_numpy() == pytest.approx(np.ones(5))
    for row in found.itertuples():
        of_search = result.table("members").query("search == @row.search").set_index("member")["probability"]
        assert of_search.idxmax() == row.member
    scores = result.table("scores")
    assert scores["search"].tolist() == [SCORED] * 54
    (search,) = [each for each in ranks.of if each.run == SCORED]
    for place, epoch in enumerate((1, 3)):
        of_epoch = scores[scores["epoch"] == epoch].set_index("member")["score"]
        expected = needed[search.key()].array("hits")[place].mean(1)
        assert of_epoch.reindex(range(27)).tolist() == expected.tolist()


def test_a_ground_truth_is_of_all_members_of_the_same_space() -> None:
    ranks = smoke(RANKS)
    with pytest.raises(UserError, match="does not train every member"):
        ranks.but(truth=(ranks.truth[0].but(every=False, drawn=2),))
    with pytest.raises(UserError, match="must have the same seed"):
        ranks.but(of=(ranks.of[0].but(seed=4),))
    elsewhere = ranks.of[0].but(network=ranks.of[0].network.but(name="small"))
    with pytest.raises(UserError, match="must be about the chain 'small-27'"):
        ranks.but(of=(elsewhere,))
    with pytest.raises(UserError, match="before it must have the same threads"):
        ranks.but(truth=(ranks.truth[0].but(threads=2),))
    with pytest.raises(UserError, match=r"the searches of run .* must all be different"):
        ranks.but(of=ranks.of[:1] * 2)
    with pytest.raises(UserError, match=r"the seeds of the ground truth of run .* must all be different"):
        ranks.but(truth=ranks.truth[:1] * 2)
    assert {run.profile for run in ranks.but(profile="other").needs()} == {"other"}
    assert {search.seed for search in ranks.but(seed=7).of} == {7}
    assert [alone.seed for alone in ranks.but(seed=7).truth] == [0, 1]

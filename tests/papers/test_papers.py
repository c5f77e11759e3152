"""The papers' package data: nothing lost, nothing mistyped, and the printed numbers agree with each other."""

import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest

from nas_core import papers
from nas_core.errors import UserError

# Every claim as the papers' specification lists it, artefact by artefact: X exact, S statistical, R reference.
EXPECTED = """
SN-F1  X: C-SN1a C-SN1b C-SN1c T-S1 T-S1b T-S3 T-S7 T-S7b
SN-F2  X: C-SN2a  S: C-SN2b
SN-F3  S: C-SN3a C-SN3b C-SN3c C-SN3d
SN-F4  X: C-SN4a  S: C-SN4b C-SN4c C-SN4d C-SN4e
SN-F5  X: C-SN5a C-SN5b T-S8 T-S8b  S: C-SN5c
SN-F6  X: C-SN6a C-SN6b C-SN6c T-S2 T-S4 T-S4b T-S5 T-S5b T-S6 T-S6b
SN-F7  X: C-SN7a C-SN7b  S: C-SN7c
SN-T1  X: C-SNT1r  S: C-SNT1a C-SNT1b C-SNT1c
SN-T2  X: C-SNT2a C-SNT2b  S: C-SNT2c C-SNT2d  R: C-SNT2e
SN-T3  X: C-SNT3a C-SNT3b C-SNT3c
WI-F1  S: C-W1a C-W1b C-W1c
WI-F2  X: C-W2 C-W2b
WI-F3  S: C-W3a C-W3b C-W3c C-W3d
WI-F4  X: C-W4a C-W4d  S: C-W4b C-W4c
WI-F5  X: C-W5a C-W5b C-W5c T-W1 T-W1b T-W1c T-W2 T-W2d  S: T-W2b T-W2c
WI-F6  X: C-W6
WI-F7  S: C-W7a C-W7b C-W7d  X: C-W7c
WI-F8  X: C-W8 C-W8b
WI-F9  S: C-W9a C-W9b C-W9c C-W9d
WI-F10 X: C-W10a C-W10b  S: C-W10c C-W10d C-W10e C-W10f
WI-F11 S: C-W11a C-W11b C-W11c
WI-F12 X: C-W12  S: C-W12a C-W12b C-W12c C-W12d
WI-F13 S: C-W13a C-W13b C-W13c
WI-F14 S: C-W14a C-W14b C-WG
WI-F15 S: C-W15 C-W15b C-W15c  X: C-W15a
WI-F16 S: C-W16 C-W16a
WI-F17 X: C-W17
WI-F18 X: C-W18 C-W18b
WI-F19 X: C-W19a C-W19b  S: C-W19c
WI-F20 X: C-W20 T-W7 T-W7b T-W7c T-W8 T-W8b T-W9 T-W10  S: T-W11 T-W11b
WI-F21 X: C-W21a  S: C-W21b
WI-F22 X: C-W22a  S: C-W22b
WI-F23 X: C-W23a  S: C-W23b C-W23c C-W23d
WI-F24 X: C-W24a  S: C-W24b C-W24c
WI-F25 X: C-W25a  S: C-W25b C-W25c
WI-F26 X: C-W26a  S: C-W26b C-W26c
WI-F27 S: C-W27a
WI-F28 S: C-W28a C-W28b C-W28e  X: C-W28c C-W28d
WI-F29 X: C-W29a C-W29b C-W29c C-W29d T-W4 T-W4b
WI-F30 X: C-W30a C-W30d  S: C-W30b C-W30c
WI-F31 X: C-W31a C-W31d  S: C-W31b C-W31c
PO-1   X: C-WU C-PO1 C-PO1b
PO-2   S: C-PO2 C-PO2b C-PO2c C-PO2d C-PO2e C-PO2f
PO-3   S: C-PO3 C-PO3b
PO-4   X: C-PO4
PO-5   X: C-PO5 C-PO5b T-W3 T-W3b T-W3c T-W3d
PO-6   X: C-PO6 C-PO6b T-W5 T-W6 T-W6b
PO-7   X: C-PO7  S: C-PO7b
PO-8   S: C-PO8  X: C-PO8b C-PO8c
PO-9   S: C-PO9
PO-10  S: C-PO10 C-PO10b
MP-T1  X: C-MT1a C-MT1b C-MT1c C-MT1d
MP-T2  S: C-MT2a C-MT2b  R: C-MT2r
MP-T3  X: C-MT3  S: C-MT3b
MP-F1  S: C-MF1a  X: C-MF1b
MP-F2  S: C-MF2a C-MF2b  X: C-MF2c
MP-F3  S: C-MF3a C-MF3b  R: C-MF3c
MP-F4  S: C-MF4a C-MF4b  R: C-MF4c
MP-F5  X: C-MF5  S: C-MF5a C-MF5b
MP-F6  S: C-MF6a C-MF6b
MP-A1  X: C-MA1a C-MA1b C-MA1c C-MA1d
MP-L1  X: C-ML1a T-M1  S: C-ML1b T-M2
NT-1   X: C-N1 C-N1b
NT-2   X: C-N2
NT-3   X: C-N3
NT-4   X: C-N4 T-D1 T-D1b T-D1c T-D3b T-D2  S: T-D3
NT-5   X: C-N5 C-N5b
NT-6   R: C-N6  S: C-N6a C-N6b C-N6c C-N6d C-N6e C-N6f C-N6g C-N6h C-N6i C-N6j C-N6k C-N6l
NT-7   X: C-N7  R: C-N7r
NT-8   X: C-N8 C-N8b C-N8c C-N8d
NT-9   X: C-N9 C-N9b
NT-10  X: C-N10 C-N10b C-N10c T-P1 T-P4 T-P4b T-P5
NT-11  X: C-N11 T-P2  S: C-N11b C-N11c
NT-12  X: C-N12 C-N12b T-P3 T-P3b T-P3c
NT-13  X: C-N13 C-N13b  S: C-N13c C-N13d C-N13e
NT-14  X: C-N14  S: C-N14b
NT-15  S: C-N15 C-N15b C-N15c  R: C-N15r
ST-P1  S: C-WPrb C-SP1a C-SP1b C-SP1c
ST-P2  S: C-SP2a C-SP2b C-SP2c C-SP2d C-SP2e
ST-P3  S: C-SP3a C-SP3b
ST-R1  S: C-R1a C-R1b C-R1c C-R1d C-R1e C-R1f  X: C-R1g
ST-R2  S: C-R2a C-R2b C-R2c C-R2d  X: C-R2e
ST-R3  S: C-R3a C-R3b C-R3c C-R3d C-R3e C-R3f C-R3g C-R3h C-R3i C-R3j C-R3k C-R3l
ST-R4  X: C-R4a  S: C-R4b C-R4c
ST-R5  S: C-R5a
ST-M1  S: C-SM1a C-SM1b C-SM1c C-SM1d
ST-N1  S: C-GT1a C-GT1b C-GT1c C-GT1d C-GT1e C-GT1f
ST-N2  X: C-GT2a C-GT2b  S: C-GT2c C-GT2d C-GT2e C-GT2f C-GT2g C-GT2h
ST-M2  S: C-SM2a
text   X: C-W10g  S: C-WP2x C-W10h C-MDa C-MDb C-MDc
"""


def expected() -> dict[str, tuple[str, str]]:
    """Claim id -> (artefact or "", grade), as written above."""
    found, listed = {}, 0
    for line in EXPECTED.strip().splitlines():
        artefact, rest = line.split(maxsplit=1)
        for grade, ids in re.findall(r"([XSR]): ([^:]+?)(?=\s+[XSR]:|$)", rest):
            for key in ids.split():
                found[key] = ("" if artefact == "text" else artefact, grade)
                listed += 1
    assert len(found) == listed
    return found


def test_exact_the_artefacts_are_complete() -> None:
    table = papers.artefacts()
    table = table[table["kind"] != papers.STUDY]
    assert len(table) == 77
    assert Counter(table["paper"]) == {"snas": 10, "wiring": 41, "mixpath": 11, "darts-proxylessnas": 15}
    groups = {"SN-F": 7, "SN-T": 3, "WI-F": 31, "PO-": 10, "MP-T": 3, "MP-F": 6, "MP-A": 1, "MP-L": 1, "NT-": 15}
    wanted = {f"{group}{n}" for group, count in groups.items() for n in range(1, count + 1)}
    assert set(table.index) == wanted
    assert Counter(table["kind"]) == {"figure": 44, "table": 6, "panel": 10, "item": 15, "algorithm": 1, "lemma": 1}
    assert list(table.index[table["timed"]]) == ["MP-T2", "NT-6"]
    assert (table["shows"].str.len() > 10).all()


def test_exact_only_an_artefact_with_a_notebook_has_runs() -> None:
    table = papers.artefacts()
    assert (table.loc[table["notebook"] == "", "runs"] == "").all()
    assert table["runs"].map(lambda runs: len(runs.split()) == len(set(runs.split()))).all()


def test_exact_no_claim_is_lost_or_regraded() -> None:
    table, wanted = papers.claims(), expected()
    assert set(table.index) == set(wanted)
    assert {key: (row.artefact, row.grade) for key, row in table.iterrows()} == wanted
    assert Counter(table["grade"]) == {"X": 157, "S": 187, "R": 7}


def test_exact_every_claim_has_a_bound_before_its_run_and_a_short_form() -> None:
    """References are shown and not judged."""
    table = papers.claims()
    assert set(table["grade"][table["comparison"] == ""]) == {"R"}
    assert table["short"].str.fullmatch(r"\S.{10,58}\S").all()
    assert not table["short"].str.contains(r"[CT]-[A-Z]|_in_|none_").any(), "no internal words on a picture"
    assert (table["unit"] != "").all()


def test_exact_claims_that_share_a_number_share_its_bound() -> None:
    table = papers.claims()
    twins = table[table["same_as"] != ""]
    shared = ["grade", "profile", "statistic", "comparison", "bound", "unit", "family"]
    firsts = table.loc[twins["same_as"], shared].set_axis(twins.index)
    pd.testing.assert_frame_equal(twins[shared], firsts)
    assert (table.loc[twins["same_as"], "same_as"] == "").all(), "a chain of twins"


def test_exact_every_artefact_has_a_claim_and_every_claim_a_known_artefact() -> None:
    named = set(papers.claims()["artefact"])
    assert named - {""} == set(papers.artefacts().index)


def test_exact_the_checks_of_the_theory_are_complete() -> None:
    ids = papers.claims().index
    for letter, count in {"D": 3, "P": 5, "S": 8, "W": 11, "M": 2}.items():
        assert {f"T-{letter}{n}" for n in range(1, count + 1)} <= set(ids)
        assert not {key for key in ids if re.fullmatch(rf"T-{letter}\d+", key) and int(key[3:]) > count}


def test_exact_claims_are_sentences_with_a_test_and_a_profile() -> None:
    table = papers.claims()
    assert table["sentence"].str.fullmatch(r"(?:[A-Z0-9]|T-).{20,}\.").all()
    assert table["sentence"].duplicated().sum() == 0
    assert (table["test"] != "").all()
    assert {grade: set(rows["profile"]) for grade, rows in table.groupby("grade")} == {
        "X": {"smoke"},
        "S": {"laptop"},
        "R": {"smoke"},
    }


@pytest.mark.parametrize("column", ["paper", "kind"])
def test_exact_a_bad_artefact_is_named(column: str) -> None:
    table = papers.artefacts().reset_index().assign(timed="false").astype(str)
    table.loc[3, column] = "snaz"
    with pytest.raises(UserError, match=f"unknown {column} of SN-F4 .*'snaz'.*Allowed"):
        papers.check_artefacts(table)


def test_exact_a_study_is_one_in_both_columns() -> None:
    table = papers.artefacts().reset_index().assign(timed="false").astype(str)
    table.loc[3, "kind"] = papers.STUDY
    with pytest.raises(UserError, match=r"SN-F4 must have both the paper and the kind study, or neither"):
        papers.check_artefacts(table)


def test_exact_a_study_may_be_about_a_claim_of_a_paper() -> None:
    known, good = papers.artefacts(), papers.claims().reset_index()
    known.loc["ST-X"] = known.loc["WI-F1"].replace({"wiring": papers.STUDY, "figure": papers.STUDY})
    moved = good.assign(artefact=good["artefact"].where(good["id"] != "C-W1a", "ST-X"))
    assert papers.check_claims(moved, known)["artefact"]["C-W1a"] == "ST-X"


def test_exact_bad_claims_are_named() -> None:
    known, good = papers.artefacts(), papers.claims().reset_index()
    assert papers.check_claims(good, known).equals(papers.claims())
    for column, message in {"grade": "unknown grade", "paper": "unknown paper", "artefact": "unknown artefact"}.items():
        with pytest.raises(UserError, match=f"{message} of C-SN1b .*'Q'"):
            papers.check_claims(good.assign(**{column: good[column].where(good["id"] != "C-SN1b", "Q")}), known)
    with pytest.raises(UserError, match="duplicate ids C-SN1a"):
        papers.check_claims(pd.concat([good, good.head(1)]), known)
    with pytest.raises(UserError, match=r"C-SN1a and its artefact SN-F1 belong to different papers"):
        papers.check_claims(good.assign(paper=good["paper"].where(good["id"] != "C-SN1a", "wiring")), known)
    with pytest.raises(UserError, match="no sentence for C-SN1a"):
        papers.check_claims(good.assign(sentence=good["sentence"].where(good["id"] != "C-SN1a", " ")), known)
    with pytest.raises(UserError, match="must have the columns"):
        papers.check_claims(good.drop(columns="test"), known)
    for column, value in {"comparison": "", "bound": "small"}.items():
        spoilt = good.astype({"bound": object}).assign(**{column: good[column].where(good["id"] != "C-W1a", value)})
        with pytest.raises(UserError, match="C-W1a needs both a comparison and a number"):
            papers.check_claims(spoilt, known)
    reasons = {"statistic": "is statistical and needs", "short": "the short form of C-W1a has more"}
    for column, message in reasons.items():
        value = "" if column == "statistic" else "long " * 20
        with pytest.raises(UserError, match=message):
            papers.check_claims(good.assign(**{column: good[column].where(good["id"] != "C-W1a", value)}), known)
    with pytest.raises(UserError, match=r"unknown comparison of C-W1a .*'=='"):
        papers.check_claims(good.assign(comparison=good["comparison"].where(good["id"] != "C-W1a", "==")), known)


def test_exact_callers_cannot_spoil_each_other() -> None:
    for read in (papers.artefacts, papers.claims, papers.released_genotypes, lambda: papers.printed("counts")):
        table = read()
        table.iloc[:, 0] = table.iloc[0, 0]
        assert not read().equals(table)


def test_exact_every_file_is_reachable_and_unknown_names_are_refused() -> None:
    stems = {file.name.removesuffix(".csv") for file in files(papers).iterdir() if file.name.endswith(".csv")}
    assert stems == {*papers.PRINTED, "artefacts", "claims", "genotypes"}
    assert all(len(papers.printed(name)) for name in papers.PRINTED)
    with pytest.raises(UserError, match=r"unknown printed table 'snas_tabel1'; did you mean 'snas_table1'\?"):
        papers.printed("snas_tabel1")


def test_exact_a_missing_file_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(papers, "files", lambda package: tmp_path)
    with pytest.raises(UserError, match=r"lost\.csv is missing or damaged"):
        papers._table("lost")
    (tmp_path / "torn.csv").write_bytes(b"id,paper\nSN-F1,\xff\n")
    with pytest.raises(UserError, match=r"torn\.csv is missing or damaged"):
        papers._table("torn")

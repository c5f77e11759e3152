"""``python -m nas_core genotype``: from a file, a text or a name to a picture and the sizes of the networks."""

from pathlib import Path

import pytest

from nas_core import __main__
from nas_core.cells.exchange import write
from nas_core.cells.genotype import released

SMALL = ["--channels", "4", "--layers", "3", "--classes", "7"]
TEXT = write(released("DARTS_V2"))


def sizes(printed: str) -> list[str]:
    """The lines below the heading of the table."""
    lines = printed.splitlines()
    heading = [number for number, line in enumerate(lines) if line.startswith("network ")]
    return lines[heading[0] + 1 :]


def test_a_file_a_text_and_a_name_give_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.py"
    file.write_text(f"# after 50 epochs\nBEST = {TEXT}\n")
    printed = []
    for given in (str(file), TEXT, "DARTS_V2"):
        assert __main__.main(["genotype", given, *SMALL]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == printed[2]
    assert "  node 5 = skip_connect(0) + dil_conv_3x3(2)\n" in printed[0]


def test_exact_the_sizes_of_the_published_networks(capsys: pytest.CaptureFixture[str]) -> None:
    """Without options they are the papers' two; the tower has 476,426 parameters on CIFAR."""
    assert __main__.main(["genotype", "DARTS_V2"]) == 0
    cifar, tower, imagenet, _ = sizes(capsys.readouterr().out)
    assert cifar.startswith("CIFAR: 20 cells, 36 channels, 10 classes, 3x32x32 ")
    assert cifar.split()[-2:] == ["3,349,342", "528,359,040"]
    assert tower.split()[-2:] == ["3,825,768", "529,054,848"]
    assert imagenet.startswith("ImageNet: 14 cells, 48 channels, 1000 classes, 3x224x224 ")
    assert imagenet.split()[-2:] == ["4,718,752", "529,911,552"]


def test_options_are_of_the_cifar_network_and_a_small_image_has_no_tower(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["genotype", "DARTS_V2", *SMALL, "--side", "12", "--in-channels", "1"]) == 0
    cifar, tower, imagenet, _ = sizes(capsys.readouterr().out)
    assert cifar.startswith("CIFAR: 3 cells, 4 channels, 7 classes, 1x12x12 ")
    assert tower == "  the auxiliary tower needs maps of 6x6 pixels or more, not 3x3."
    assert imagenet.split()[-2] == "4,718,752"


@pytest.mark.parametrize(("name", "begin"), [("cells.png", b"\x89PNG"), ("cells.svg", b"<?xml")])
def test_a_picture_is_saved_where_asked(name: str, begin: bytes, tmp_path: Path) -> None:
    assert __main__.main(["genotype", "DARTS_V2", *SMALL, "--png", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(begin)


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["DARTS_V3"], "unknown file or released architecture 'DARTS_V3'; did you mean 'DARTS_V2'?"),
    (["no/such/file.txt"], "unknown file or released architecture 'no/such/file.txt'."),
    ([TEXT.replace("skip_connect", "skip")], "unknown operation 'skip'"),
    (["DARTS_V2", "--png", "cells.jpg"], "argument --png: give a file that ends in .png or .svg, not 'cells.jpg'"),
    (["DARTS_V2", "--png", "no/such/cells.png"], "cannot write to no/such/cells.png (no such file or directory)"),
    (["DARTS_V2", "--layers", "0"], "argument --layers: give a whole number from 1 to 10000, not '0'"),
    (["DARTS_V2", "--side", "²"], "argument --side: give a whole number from 1 to 10000, not '²'"),
    (["DARTS_V2", "--side", "9" * 5000], "argument --side: give a whole number from 1 to 10000, not '999"),
    (["DARTS_V2", "--side", "0000100009999"], "argument --side: give a whole number from 1 to 10000, not '0000100009"),
])  # fmt: skip
def test_bad_input_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["genotype", *arguments, *SMALL]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"nas_core: {sentence}")
    assert printed.err.count("\n") == 1


def test_a_file_that_is_no_text_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"\x80\xff\x00")
    assert __main__.main(["genotype", str(file)]) == 2
    assert capsys.readouterr().err == f"nas_core: {file} is not a text file.\n"

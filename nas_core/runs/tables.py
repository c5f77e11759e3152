"""Tables as CSV files that any tool opens, and back again with every number and every type as it was."""

import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

TEXT = ("str", "object")
PARSE: dict[str, Callable[[str], Any]] = {  # by the kind of numpy's dtype
    "f": lambda text: float(text or "nan"),
    "i": int,
    "u": int,
    "b": {"True": True, "False": False}.__getitem__,
}


def columns(frame: pd.DataFrame) -> dict[str, str]:
    """The types of a table's columns by name, which a CSV file does not have."""
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def encode(name: str, frame: pd.DataFrame) -> bytes:
    """The table ``name`` as CSV, floats by their shortest exact digits, nan as nothing.

    Raises ValueError where something would be lost: an index, names that are no texts or not unique, missing texts,
    values that are neither numbers nor texts.
    """
    try:
        data = frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).encode()
        again = decode(data, columns(frame))
        pd.testing.assert_frame_equal(frame, again, check_exact=True)
    except (AssertionError, ValueError, TypeError, KeyError, OverflowError) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"table {name!r} cannot be stored exactly: {why}") from error
    return data


def decode(data: bytes, dtypes: dict[str, str]) -> pd.DataFrame:
    """The table that :func:`encode` wrote, given the types of its columns."""
    if not dtypes:
        return pd.DataFrame()
    texts = pd.read_csv(
        io.BytesIO(data),
        header=0,
        names=list(dtypes),
        dtype=object,
        keep_default_na=False,
        skip_blank_lines=False,
    )
    return pd.DataFrame({name: _typed(texts[name], dtype) for name, dtype in dtypes.items()})


def _typed(texts: pd.Series, dtype: Any) -> pd.Series:
    if dtype in TEXT:
        return pd.Series(list(texts), dtype=dtype)
    parse = PARSE.get(_kind(dtype))
    if parse is None:
        raise TypeError(f"its column {texts.name!r} has the type {dtype}; allowed: numbers, booleans and texts")
    return pd.Series([parse(text) for text in texts], dtype=dtype)


def _kind(dtype: str) -> str:
    """The kind of numpy's ``dtype``; "" for the types that pandas adds."""
    try:
        return np.dtype(dtype).kind
    except TypeError:
        return ""

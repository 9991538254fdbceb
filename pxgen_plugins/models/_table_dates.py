"""Dates that stand in a table as text: of ISO 8601, or of one other format in the whole column."""

from __future__ import annotations

from itertools import product
from typing import Any

from pxgen_plugins.utils.errors import AnchorError, short_repr

__all__ = ["parse_dates"]

_DAYS = (
    "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y", "%m.%d.%Y", "%Y/%m/%d", "%Y/%d/%m",
    "%Y.%m.%d", "%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%d %b %Y",
    "%d %B %Y", "%b %d %Y", "%B %d %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")


def parse_dates(series: Any) -> Any:
    """Return a column with its texts as times (UTC); what is no date in any format stays.

    01/02/2003 is a day in February or in January: which, only the other values of the column can
    tell. So all texts that are not of ISO 8601 must be of one format, and of one alone.

    Args:
        series: A pandas Series of any type.

    Raises:
        AnchorError: When the texts are of several formats, or several fit all of them and differ.
    """
    import pandas as pd

    cells = series.astype(object)
    is_text = cells.map(lambda value: isinstance(value, str))
    texts = pd.Series(cells[is_text].unique(), dtype=object)
    known = _parse(texts, "ISO8601")
    rest = texts[known.isna()]
    parsed = [_parse(rest, day + time) for day, time in product(_DAYS, _TIMES)] if len(rest) else []
    fits = [times for times in parsed if times.notna().any()]
    if fits:
        most = max(int(times.notna().sum()) for times in fits)
        best = [times for times in fits if int(times.notna().sum()) == most]
        got = ""
        for times in best[1:]:
            differs = rest[(times != best[0]) & (times.notna() | best[0].notna())]
            if len(differs) and not got:
                got = f"{short_repr(differs.iloc[0])}, which two formats read as two dates"
        others = rest[best[0].isna() & pd.concat(fits, axis=1).notna().any(axis=1)]
        mixed = [*others, *texts[known.notna()]]
        if mixed and not got:
            first = rest[best[0].notna()].iloc[0]
            got = f"{short_repr(first)} beside {short_repr(mixed[0])}"
        if got:
            hint = "Write them as 2003-02-01, or pass them as dates (pandas.to_datetime)."
            allowed = f"with dates of one format in column {short_repr(series.name)}"
            raise AnchorError("X", allowed, got, hint)
        known = known.fillna(best[0])
    found = {text: time for text, time in zip(texts, known, strict=True) if not pd.isna(time)}
    return cells.map(lambda v: found.get(v, v) if isinstance(v, str) else v).astype(object)


def _parse(texts: Any, form: str) -> Any:
    import pandas as pd

    return pd.to_datetime(texts, format=form, errors="coerce", utc=True)

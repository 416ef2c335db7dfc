"""Parquet files that are damaged, and ones that are made to fill the memory."""

from __future__ import annotations

import base64
from pathlib import Path

import polars as pl
import pytest

from benchmark.errors import UserError
from benchmark.importing.predictions import read_predictions
from benchmark.system import parquet_files
from benchmark.system.parquet_files import check_parquet

ENDED_THE_PROCESS = """\
P(e~L6$BL&6(&p-1Qh@P04TLD{U8ca00031003bD0001D6#x|y6(lSb1r-n#1{DSzHUKCAVi*Bo0000ewJ-
f32}u9|0ssI21OWj90u>AyH2?+>85jh0b7gWB3>E|yb{3ieCP*d-95w(b0b&>dVE_OX02MeDN-Pxy6#x|m6$TtO04M=^7y)<
y001bpFa01K;Q#;v000031Oos700Tb&0RR91cmV(a0C@ob004Rw3>hT=1{pX8a$#<3Wn=_wX>)W3Wo%__Wo~p83>F3!ZWe$6
Chh?|HUKCAdKdwC000>g0vQ+qVHp?!Vif=x761Sl5ds+)0eBf00eTex85RHl85|Z!6<QVm000>r7VZHRfB_Z&000#N8C*yNa
&K>R6$Ahk3?%{>1a)&|awPyv8~^|SH3Aq0a$#<3Wn>is6$VT^0000r1Q-
NtX>)WH0ss{ZB?1@+Wo%__Wo~pO08AVJ000&Q85|ibCgK4c6$}|Q00s~l7zA~5WpWh^76cY{7McMjNG1pzHUKCAVi*Bo000)
41Qiq()B_bF04DAN92E>1B>)B)I0kZIZfj*^1Z-
(@bO&W@Wo>0{bQKI11{Q7>fB`1%0X#MUC;@sH0eAoa7OVsn7#8*e6(Rr@<N+20CI}Xq0u%rM89W#aK~hprS2}ZJXk~3-
7?c7pFE1}II8{MGK|w`9K|w({b}uh4cu_$?K|w`9K}A79K|xDFL32SvK|xDFK~X^~P%kepcXvTSK|x7DL1#fhK|w`9K}kVDK
|*6eK|w)6K|w)5N@_1JFF8d)K|w)KK|w)5L1#fhK|w-
BQA0sNQ9(gLK~X_LK|?SvFE1}gK|w)5LP0@6K|x7DK|w)5Qc*!cK|w)5K|?SvFE1}bK|w)5M{F=!S1>_AK|w)yP%kepcUeI}
K|*<1S2c24S5ZMhPkJveFF12SK|w)DK|w)5LT5oiK|w-
BK|w)9K|xbNK~X_PK|xYML1#fhK|xJHK|w)5K}0w&FE1}bK|w`9K~X_LK|(QOGFEv(K|MVH7z=b^a%W|9Uua=-
Xcz%>02l;xVRLI332tS0bYE$7Wo-Z$PEc=bVRCaIC~$dnXm4&QAa-SPb7^mGATlm7E-)Y{Vs&Y3WFR+YIWRI}WHV-
FWHL8qW;ilrF*GtaIAJh3VKO;2W@a*GH(_ODIWj33EF1s;8~^|SegXghP(e~L
"""
"""What a fuzzer found: polars asks for 2**61 bytes, which no handler of errors outlives."""


def test_damage_that_polars_does_not_outlive(tmp_path: Path) -> None:
    path = tmp_path / "answers.parquet"
    path.write_bytes(base64.b85decode(ENDED_THE_PROCESS.replace("\n", "")))
    with pytest.raises(OSError, match="page header"):
        check_parquet(path)
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        read_predictions(path)


@pytest.mark.parametrize("other", [b"us\xffr", b"\xff" * 4])
def test_names_of_columns_that_are_no_text(tmp_path: Path, other: bytes) -> None:
    path = tmp_path / "answers.parquet"
    pl.DataFrame({"user": ["a", "b"]}).write_parquet(path)
    path.write_bytes(path.read_bytes().replace(b"user", other))
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        read_predictions(path)


@pytest.mark.parametrize("columns", [None, ["user"], ["user", "not there"]])
def test_sound_files(tmp_path: Path, columns: list[str] | None) -> None:
    path = tmp_path / "answers.parquet"
    kinds = {
        "user": ["a", "b"],
        "ranked": [["x"], []],
        "when": pl.Series([0, 1], dtype=pl.Datetime("us", "Asia/Tokyo")),
        "kind": pl.Series(["x", None], dtype=pl.Categorical),
        "wide": pl.Series([1, 2], dtype=pl.Int128),
        "pair": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.UInt8, 2)),
        "some": [{"a": 1}, None],
        "raw": [b"\0", b""],
    }
    pl.DataFrame(kinds).write_parquet(path)
    check_parquet(path, columns)


def test_a_file_that_is_made_to_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.parquet"
    frame = pl.DataFrame({"user": pl.repeat("u", 2_000_000, eager=True)})
    frame.write_parquet(path)
    assert len(read_predictions(path).frame) == 2_000_000
    monkeypatch.setattr(parquet_files, "BOMB_ROWS", 1_000_000)
    with pytest.raises(UserError, match=r"says that it holds 2,000,000 rows in .* fill the memory"):
        read_predictions(path)

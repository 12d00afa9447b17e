"""Each shipped lesson does its work on input that the lesson has never seen."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeAgent = Callable[..., Any]
Stopped = Callable[..., Any]
HEAD = ["| column | values | minimum | maximum | mean |", "|---|---:|---:|---:|---:|"]
NO_FIGURES = ["It has no numeric columns with values."]


@pytest.mark.parametrize("limit", [-5, 0, 2, 3, 30, 121, 1000])
async def test_primes(make_agent: MakeAgent, limit: int) -> None:
    primes = [n for n in range(2, limit) if all(n % d for d in range(2, n))]
    agent = make_agent()
    answer = await agent.work(f"create a Python script that prints the primes below {limit} and run it")
    printed = f"Primes below {limit}: {len(primes)}\n{' '.join(map(str, primes))}".strip()
    assert answer == f"I wrote primes.py and ran it. It prints:\n\n{printed}"
    assert [tool for tool, _ in agent.calls] == ["Write", "Bash"]


CO2_CHANGED = [["year", "co2_ppm"], ["2001", "371.25"], ["1999", "368.5"], ["2003", "376"]]
CSV_CASES: dict[str, tuple[list[list[str]], str, list[str]]] = {
    "changed": (
        CO2_CHANGED,
        "3 rows, from 1999 to 2003.",
        [*HEAD, f"| co2_ppm | 3 | 368.5 | 376 | {(371.25 + 368.5 + 376) / 3:.6g} |"],
    ),
    "many columns": (
        [["a|b", "name", "big", " Ünits "], ["-1.5", "x", "8045311447", "1e-7"], ["0.25", "7", "1", "2e-7"]],
        "2 rows.",
        [
            *HEAD,
            "| a\\|b | 2 | -1.5 | 0.25 | -0.625 |",
            "| big | 2 | 1 | 8045311447 | 4.02266e+09 |",
            "| Ünits | 2 | 1e-07 | 2e-07 | 1.5e-07 |",
        ],
    ),
    "gaps": (
        [["x", "y", "z"], ["1", "", "NaN"], [], ["3", " "], ["5", "4", "nan", "9"]],
        "3 rows.",
        [*HEAD, "| x | 3 | 1 | 5 | 3 |", "| y | 1 | 4 | 4 | 4 |"],
    ),
    "words only": ([["name"], ["Ada"]], "1 rows.", NO_FIGURES),
    "header only": ([["year", "co2_ppm"]], "0 rows.", NO_FIGURES),
    "nothing": ([], "0 rows.", NO_FIGURES),
}


@pytest.mark.parametrize("case", CSV_CASES)
async def test_csv_report(make_agent: MakeAgent, case: str) -> None:
    rows, dated, table = CSV_CASES[case]
    agent = make_agent()
    source: Path = agent.run.workspace / "tables" / "figures.csv"
    source.parent.mkdir()
    with source.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    answer = await agent.work("Summarise the figures in tables/figures.csv in a Markdown report out/report.md")
    expected = "\n".join(["# Figures in figures.csv", "", dated, "", *table])
    assert (agent.run.workdir / "out" / "report.md").read_text(encoding="utf-8") == expected + "\n"
    assert answer == f"I wrote the report out/report.md:\n\n{expected}"
    assert [tool for tool, _ in agent.calls] == ["Read", "Write", "Bash", "Read"]


async def test_csv_report_of_a_missing_file_claims_nothing(make_agent: MakeAgent, stopped: Stopped) -> None:
    agent = make_agent()
    answer = await stopped(agent.work("Summarise the figures in no.csv in a Markdown report report.md"))
    assert answer.startswith("Read failed: ")
    assert list(agent.run.workdir.iterdir()) == []


async def test_csv_report_of_a_file_that_is_no_text_claims_nothing(make_agent: MakeAgent, stopped: Stopped) -> None:
    agent = make_agent()
    (agent.run.workspace / "x.csv").write_text('a,b\n1,"' + "x" * 200_000 + '"\n')
    answer = await stopped(agent.work("Summarise the figures in x.csv in a Markdown report report.md"))
    assert answer.startswith("Bash failed: Exit code 1\n")
    assert not (agent.run.workdir / "report.md").exists()


async def test_count_files(make_agent: MakeAgent) -> None:
    agent = make_agent()
    folder: Path = agent.run.workspace / "things"
    for name in ("a.TXT", "b.txt", "deep/er/c.txt", "d.py", ".hidden", "deep/Makefile", "x.a|b", "e.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "empty.d").mkdir()
    answer = await agent.work("Count the files in things by type and write the table to files.md")
    expected = "\n".join(
        [
            "# Files by type",
            "",
            "| type | files |",
            "|---|---:|",
            "| .txt | 3 |",
            "| (none) | 2 |",
            "| .py | 2 |",
            "| .a\\|b | 1 |",
            "| all | 8 |",
        ]
    )
    assert (agent.run.workdir / "files.md").read_text(encoding="utf-8") == expected + "\n"
    assert answer == f"I wrote the table files.md:\n\n{expected}"
    assert [tool for tool, _ in agent.calls] == ["Glob", "Write", "Bash", "Read"]


async def test_count_files_of_an_empty_folder(make_agent: MakeAgent) -> None:
    agent = make_agent()
    (agent.run.workspace / "things").mkdir()
    answer = await agent.work("Count the files in things by type and write the table to files.md")
    assert answer.endswith("|---|---:|\n| all | 0 |")


async def test_count_files_of_a_missing_folder_claims_nothing(make_agent: MakeAgent, stopped: Stopped) -> None:
    agent = make_agent()
    answer = await stopped(agent.work("Count the files in nowhere by type and write the table to files.md"))
    assert answer == ("Bash failed: Exit code 1\nCannot read nowhere: No such file or directory")
    assert not (agent.run.workdir / "files.md").exists()


LOG = """\
a line before the first entry
2030-01-01 23:59:59 INFO start: ok
2030-01-01T23:59:59.250Z ERROR IOError: disk
2030-01-02 00:00:01,500 shop.orders CRITICAL Full|Disk: no room
  2030-01-02 00:00:02 ERROR indented: belongs to the entry before
[2030-01-02 00:10:00] [ERROR] IOError: again
2030-01-02 00:11:00 ERROR it just failed
2030-01-02 00:12:00 WARNING ERROR: is said, but is none
2030-01-02 00:12:00 FATAL IOError: third
"""
LOG_REPORT = """\
# Errors in my.log

Entries: 7, errors among them: 5.

## By hour and kind

| hour | kind | errors |
|---|---|---:|
| 2030-01-01 23:00 | IOError | 1 |
| 2030-01-02 00:00 | IOError | 2 |
| 2030-01-02 00:00 | (no kind) | 1 |
| 2030-01-02 00:00 | Full\\|Disk | 1 |

## By kind

| kind | errors |
|---|---:|
| IOError | 3 |
| (no kind) | 1 |
| Full\\|Disk | 1 |
"""


async def test_log_report(make_agent: MakeAgent) -> None:
    agent = make_agent()
    (agent.run.workspace / "my.log").write_text(LOG)
    answer = await agent.work("Report the errors in my.log by hour and kind in out/report.md")
    assert (agent.run.workdir / "out/report.md").read_text() == LOG_REPORT
    assert answer == f"I wrote the report out/report.md:\n\n{LOG_REPORT}".rstrip()
    assert [tool for tool, _ in agent.calls] == ["Read", "Write", "Bash"]


async def test_log_report_without_errors(make_agent: MakeAgent) -> None:
    agent = make_agent()
    (agent.run.workspace / "my.log").write_text("2030-01-01 00:00:00 INFO fine\n")
    answer = await agent.work("Report the errors in my.log by hour and kind in report.md")
    assert answer.endswith("# Errors in my.log\n\nEntries: 1, errors among them: 0.")


async def test_rename_files(make_agent: MakeAgent) -> None:
    agent = make_agent()
    folder: Path = agent.run.workspace / "shots"
    names = ["a b_7.jpg", "cat-0012.png", "cat3", "plain.txt", "sub/cat 3", "v2_1000.x|y", "2020.txt"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    goal = "Copy shots to copy, rename files like photo_1.txt to 001-photo.txt and list them in names.md"
    answer = await agent.work(goal)
    wanted = {
        "a b_7.jpg": "007-a b.jpg",
        "cat-0012.png": "012-cat.png",
        "cat3": "003-cat",
        "plain.txt": "plain.txt",
        "sub/cat 3": "sub/003-cat",
        "v2_1000.x|y": "1000-v2.x|y",
        "2020.txt": "2020.txt",
    }
    copy = agent.run.workdir / "copy"
    left = {path.relative_to(copy).as_posix(): path.read_text() for path in copy.rglob("*") if path.is_file()}
    assert left == {new: old for old, new in wanted.items()}
    assert sorted(path.name for path in folder.iterdir()) == sorted({name.partition("/")[0] for name in names})
    table = (agent.run.workdir / "names.md").read_text()
    assert "| sub/cat 3 | sub/003-cat |" in table
    assert "| v2_1000.x\\|y | 1000-v2.x\\|y |" in table
    assert answer.endswith("Renamed: 5 of 7.")
    assert await make_agent().work(goal) == answer, "a second time in the same place"


async def test_rename_files_to_one_name_renames_nothing(make_agent: MakeAgent, stopped: Stopped) -> None:
    agent = make_agent()
    (agent.run.workspace / "shots").mkdir()
    for name in ("a_1.txt", "a_01.txt", "b_2.txt"):
        (agent.run.workspace / "shots" / name).write_text(name)
    goal = "Copy shots to copy, rename files like photo_1.txt to 001-photo.txt and list them in names.md"
    answer = await stopped(agent.work(goal))
    assert answer.endswith("Nothing was renamed: more than one file would be called 001-a.txt.")
    assert sorted(path.name for path in (agent.run.workdir / "copy").iterdir()) == ["a_01.txt", "a_1.txt", "b_2.txt"]


SERVE = "Serve x.json as a JSON API on this machine and write what it answers as a table to t.md"


NESTED = """\
| a | b | c |
|---:|---|---|
| 1 | x\\|y |  |
|  | two lines | [1, {"d": null}] |

Objects: 2, pages: 1."""


@pytest.mark.parametrize(
    ("data", "table"),
    [
        (
            {"count": 2, "rows": [{"a": 1, "b": "x|y"}, {"b": "two\nlines", "c": [1, {"d": None}], "a": None}]},
            NESTED,
        ),
        (
            [{"n": n} for n in range(11)],
            "| n |\n|---:|\n" + "".join(f"| {n} |\n" for n in range(11)) + "\nObjects: 11, pages: 3.",
        ),
        ([], "There are no values.\n\nObjects: 0, pages: 1."),
    ],
)
async def test_api_table(make_agent: MakeAgent, data: Any, table: str) -> None:
    agent = make_agent()
    (agent.run.workspace / "x.json").write_text(json.dumps(data))
    answer = await agent.work(SERVE)
    assert answer == f"I fetched the objects from a local server and wrote the table t.md:\n\n{table}"
    assert (agent.run.workdir / "t.md").read_text() == f"{table}\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1, 2]", "x.json cannot be served: it holds no list of objects."),
        ("[", "x.json cannot be served: Expecting value: line 1 column 2 (char 1)"),
        (None, "x.json cannot be served: No such file or directory"),
    ],
)
async def test_api_table_of_something_else_claims_nothing(make_agent: MakeAgent, text: str | None, why: str) -> None:
    agent = make_agent()
    if text is not None:
        (agent.run.workspace / "x.json").write_text(text)
    assert await agent.work(SERVE) == f"I could not make a table of x.json: Exit code 1\n{why}"
    assert not (agent.run.workdir / "t.md").exists()

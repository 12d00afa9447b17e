"""Each shipped lesson does its work on input that the lesson has never seen."""

from __future__ import annotations

import csv
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

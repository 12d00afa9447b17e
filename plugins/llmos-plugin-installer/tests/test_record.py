"""The record of what was installed: what a requirement means, what the file holds, and ``llmos plugins sync``."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmos_core import PluginError, UsageError, WorkspaceError
from llmos_plugin_installer import environment
from llmos_plugin_installer.record import Entry, read_record, update_record, wanted

from .installing import Installed, folder, fresh, wheel

HELLO = "llmos-plugin-hello"


@pytest.fixture
def llmos(tmp_path: Path) -> Installed:
    return fresh(tmp_path / "venv", tmp_path / "home", tmp_path / "wheels")


def test_what_requirements_ask_for(tmp_path: Path) -> None:
    built, place = wheel(tmp_path, "llmos-plugin-two-words"), folder(tmp_path, "llmos-plugin-here")
    archive = tmp_path / "llmos-plugin-old-1.0.tar.gz"
    archive.touch()
    asked = {
        "LLMOS_Plugin.Hello[extra]>=1,<2": (HELLO, "index", ["LLMOS_Plugin.Hello[extra]>=1,<2"]),
        "hello @ https://example.org/hello.whl": ("hello", "url", ["hello @ https://example.org/hello.whl"]),
        str(built): ("llmos-plugin-two-words", str(built), [str(built)]),
        str(archive): ("llmos-plugin-old", str(archive), [str(archive)]),
        str(place): ("llmos-plugin-here", str(place), [str(place)]),
    }
    for text, (name, source, arguments) in asked.items():
        entry = wanted(text)
        assert (entry.name, entry.source, list(entry.arguments)) == (name, source, arguments)
    assert list(wanted(str(place), editable=True).arguments) == ["-e", str(place)]
    assert wanted("hello", any_name=True).name == "hello"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("hello", "Is hello the name of a plugin, or of a distribution?"),
        ("--index-url=http://example.org", "--index-url=http://example.org is no requirement."),
        ("https://example.org/llmos_plugin_hello-1.0-py3-none-any.whl", "is no requirement."),
        ("llmos-plugin-hello >= ", "llmos-plugin-hello >=  is no requirement."),
        ("llmos-plugin\x1b[31m", "is no requirement."),
        ('llmos-plugin-hello ; python_version < "3"', "has a condition."),
        ('hello @ https://example.org/hello.whl ; sys_platform == "none"', "has a condition."),
        ("", " is no requirement."),
        ("./nowhere", "There is no file or folder ./nowhere."),
        ("/etc/passwd", "/etc/passwd cannot be installed."),
        ("/etc/", "The folder /etc cannot be installed."),
    ],
)
def test_what_is_no_requirement(text: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        wanted(text)
    assert what in caught.value.what


def test_only_folders_are_editable(tmp_path: Path) -> None:
    for text in (str(wheel(tmp_path, HELLO)), HELLO):
        with pytest.raises(UsageError, match="editable is for folders"):
            wanted(text, editable=True)


def test_the_file_is_the_same_whatever_the_order(tmp_path: Path) -> None:
    entries = {
        "llmos-plugin-b": Entry("llmos-plugin-b", "llmos-plugin-b[x] >=1", "index", False, "1.0"),
        "llmos-plugin-a": Entry("llmos-plugin-a", "./ä b", str(tmp_path / "ä b"), True, "2.0+x"),
        "llmos-plugin-c": Entry("llmos-plugin-c", "../c.whl", "/else/c.whl", False, "3"),
    }
    for name, entry in entries.items():
        update_record(tmp_path, {name: entry})
    text = (tmp_path / "plugins.toml").read_text("utf-8")
    assert read_record(tmp_path) == dict(sorted(entries.items()))
    assert 'source = "./ä b"' in text
    for name in reversed(entries):
        update_record(tmp_path, {name: entries[name]}, ["not-there"])
    assert (tmp_path / "plugins.toml").read_text("utf-8") == text
    update_record(tmp_path, {}, ["llmos-plugin-a"])
    assert sorted(read_record(tmp_path)) == ["llmos-plugin-b", "llmos-plugin-c"]


GOOD = '[plugins.llmos-plugin-a]\nrequirement = "llmos-plugin-a"\nsource = "index"\nversion = "1"\neditable = false\n'


@pytest.mark.parametrize(
    "text",
    [
        "[plugins",
        "plugins = 3",
        "plugins = {a = 1}",
        GOOD + "more = 1\n",
        GOOD.replace("editable = false", ""),
        GOOD.replace("false", '"no"'),
        GOOD.replace('requirement = "llmos-plugin-a"', 'requirement = "another"'),
        GOOD.replace('requirement = "llmos-plugin-a"', 'requirement = "--index-url=http://example.org"'),
        GOOD.replace('"1"', '"1 another"'),
        GOOD.replace('"1"', '""'),
        GOOD.replace('"1"', '"\\u001b[31m"'),
        GOOD.replace("[plugins.llmos-plugin-a]", "[plugins.LLMOS-Plugin-A]"),
        GOOD.replace("llmos-plugin-a", "llmos-core"),
        GOOD.replace("[plugins.llmos-plugin-a]", "[plugins.llmos-core]").replace('"index"', '"./x"'),
        GOOD.replace('"index"', '"./x.whl"').replace("[plugins.llmos-plugin-a]", '[plugins."-e x"]'),
    ],
)
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / "plugins.toml").write_text(text)
    with pytest.raises(WorkspaceError, match="cannot be read"):
        update_record(tmp_path, {})
    assert (tmp_path / "plugins.toml").read_text() == text


@pytest.mark.parametrize(("name", "version"), [("llmos-plugin-a", ""), ("llmos-plugin-a", "x y"), ("llmos-core", "1")])
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, name: str, version: str) -> None:
    (tmp_path / "plugins.toml").write_text(GOOD)
    with pytest.raises(WorkspaceError, match=f"^{name} cannot be recorded"):
        update_record(tmp_path, {name: Entry(name, name, "index", False, version)})
    assert (tmp_path / "plugins.toml").read_text() == GOOD


@pytest.mark.slow
def test_sync_never_replaces_the_core(llmos: Installed) -> None:
    before = llmos.version("llmos-core")
    folder(llmos.home / "workspace", "llmos-core", before)
    false = GOOD.replace('"index"', '"./llmos-core"')
    llmos.record.write_text(false.replace("[plugins.llmos-plugin-a]", "[plugins.llmos-core]"))
    done = llmos("sync", "--yes")
    assert done.returncode == 2
    assert "ValueError: llmos-core is no plugin, and is never changed" in done.stderr
    llmos.record.write_text(false)
    done = llmos("sync", "--yes")
    assert (done.returncode, done.stderr.splitlines()[-3]) == (1, "Error: llmos-core is no plugin."), done.stderr
    assert llmos.record.read_text() == false
    shadowed = llmos.python.parent.parent.glob("lib/*/site-packages/llmos_core*")
    assert list(shadowed) == []


@pytest.mark.slow
def test_sync_restores_what_is_missing_or_of_another_version(llmos: Installed, tmp_path: Path) -> None:
    wheel(llmos.wheels, HELLO, "1.0")
    wheel(llmos.wheels, HELLO, "2.0")
    inside = wheel(llmos.home / "workspace" / "wheels", "llmos-plugin-inside")
    gone = wheel(tmp_path, "llmos-plugin-gone")
    draft = folder(tmp_path, "llmos-plugin-draft")
    assert llmos("install", f"{HELLO}<2", inside, gone).returncode == 0
    assert llmos("install", "-e", draft).returncode == 0
    assert llmos("sync").stderr == f"All of {llmos.record} is installed.\n"

    gone.unlink()
    moved = (llmos.home / "workspace").rename(llmos.home / "clone")
    other = fresh(tmp_path / "other", llmos.home, llmos.wheels)
    subprocess.run([other.python, "-m", "pip", "install", "-q", f"{HELLO}==2.0"], env=other.environment, check=True)
    record = (moved / "plugins.toml").read_text()
    planned = other("sync", "--workspace", "clone", "--dry-run")
    assert planned.returncode == 0
    assert [HELLO, "2.0", f"{HELLO}==1.0"] in [line.split() for line in planned.stdout.splitlines()]
    assert other.version(HELLO) == "2.0"

    refused = other("sync", "--workspace", "clone", "--json")
    assert refused.returncode == 6
    assert json.loads(refused.stdout)["error"]["fix"] == "If you trust it, add --yes."
    assert other.version(HELLO) == "2.0"

    done = other("sync", "--workspace", "clone", "--json", "--yes")
    assert done.returncode == 1
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {name for name, row in rows.items() if row["done"]} == {HELLO, "llmos-plugin-inside", "llmos-plugin-draft"}
    assert f"{gone} is not there." in rows["llmos-plugin-gone"]["error"]
    assert rows["llmos-plugin-inside"]["installs"] == str(moved / "wheels" / inside.name)
    assert [other.version(name) for name in (HELLO, "llmos-plugin-inside", "llmos-plugin-gone")] == ["1.0", "1.0", ""]
    assert (moved / "plugins.toml").read_text() == record


@pytest.mark.slow
def test_sync_asks_on_a_terminal(llmos: Installed) -> None:
    wheel(llmos.wheels, HELLO)
    llmos.record.write_text(GOOD.replace("plugin-a", "plugin-hello").replace('"1"', '"1.0"'))
    for answer, code, version in ((b"n\n", 130, ""), (b"y\n", 0, "1.0")):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        done = subprocess.run(
            llmos.command("sync"), cwd=llmos.home, env=llmos.environment, stdin=theirs, capture_output=True, check=False
        )
        os.close(ours)
        os.close(theirs)
        assert (done.returncode, llmos.version(HELLO)) == (code, version), done.stderr
        assert b"Install llmos-plugin-hello==1.0?" in done.stderr


def test_where_nothing_can_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(PluginError) as caught:
        environment.current()
    assert caught.value.why == f"It holds no pip. uv, which can change the environment {tmp_path}, is not on the PATH."
    for manager, mark in (("pipx", "pipx_metadata.json"), ("uv", "uv-receipt.toml")):
        (tmp_path / mark).touch()
        with pytest.raises(PluginError) as caught:
            environment.current()
        assert caught.value.why == f"{manager}, which can change the environment {tmp_path}, is not on the PATH."
        (tmp_path / mark).unlink()
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    with pytest.raises(PluginError) as caught:
        environment.current()
    assert "PEP 668" in caught.value.why


def test_writers_at_once_lose_no_entry(tmp_path: Path) -> None:
    names = [f"llmos-plugin-{number}" for number in range(40)]

    def write(name: str) -> None:
        update_record(tmp_path, {name: Entry(name, name, "index", False, "1")})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, names))
    assert sorted(read_record(tmp_path)) == sorted(names)

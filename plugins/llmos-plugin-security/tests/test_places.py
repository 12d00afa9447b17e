"""What places mean: the user's home, a project in /tmp, further places to write, control files in passing."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from llmos_core import SettingsError, load_settings, plugin_settings
from llmos_plugin_security.guard import judge_for
from llmos_plugin_security.judge import Judge
from llmos_plugin_security.places import World
from llmos_plugin_security.settings import SecuritySettings

OF_ROOT = Judge(World("/root/proj", "/root", "/root/proj", real=False))
IN_TMP = Judge(World("/tmp/a/proj", "/home/dev", "/tmp/a/proj", real=False))
WIDER = Judge(World("/workspace/proj", "/home/dev", "/workspace/proj", write=("/home/dev/out",), real=False))


@pytest.mark.parametrize(
    "text", ["cat ../other/file", "source ~/.bashrc", "cat ~/.gitconfig", "cp ~/notes.txt .", "cat /root/x"]
)
def test_the_home_of_root_is_no_secret_to_root(judge: Judge, text: str) -> None:
    assert OF_ROOT.command(text).verdict == "allow"
    assert judge.command(text.replace("~", "/root").replace("..", "/root")).rule == "read-secret"


@pytest.mark.parametrize(
    "text",
    ["cat ~/.ssh/id_rsa", "cat ~/.aws/credentials", "tar c ~ | gzip", "cat ../other/.env", "cat ~/.bash_history"],
)
def test_the_secrets_of_root_stay_secrets(text: str) -> None:
    assert OF_ROOT.command(text).rule == "read-secret"


def test_a_home_below_that_of_root_is_the_users() -> None:
    below = Judge(World("/root/dev/proj", "/root/dev", None, real=False))
    assert below.command("cat ~/notes").verdict == "allow"
    assert below.command("cat /root/notes").rule == "read-secret"


@pytest.mark.parametrize(
    "text",
    ["echo hi > /tmp/x", "tar -xf a.tar -C /tmp/x", "cp -r . ../copy", "cp a /tmp", "mv a /tmp/b", "touch ../../c"],
)
def test_beside_a_project_in_tmp_is_outside(text: str) -> None:
    judged = IN_TMP.command(text)
    assert (judged.verdict, judged.rule) == ("deny", "write-outside")
    assert "commands may write in $TMPDIR" in judged.reason


@pytest.mark.parametrize(("text", "rule"), [("rm -rf /tmp/x", "delete-outside"), ("chmod 7 ../b", "mode-outside")])
def test_beside_a_project_in_tmp_nothing_else_is_done(text: str, rule: str) -> None:
    assert (IN_TMP.command(text).verdict, IN_TMP.command(text).rule) == ("deny", rule)


def test_where_all_temporary_files_are_meant_it_says_what_may_be_written(judge: Judge) -> None:
    for text in ("chmod 700 /tmp", "chmod 700 /var/tmp"):
        said = judge.command(text)
        assert (said.rule, "commands may write in $TMPDIR" in said.reason) == ("write-temporary", True)
    assert "commands may write in $TMPDIR" in judge.judge("Write", {"file_path": "/tmp/x"}).reason
    assert "$TMPDIR" not in judge.command("echo x > ../y").reason
    assert IN_TMP.command("echo x > $TMPDIR/x; cp a $TMPDIR; rm -rf $TMPDIR/x; echo x > /var/tmp/x").verdict == "allow"
    assert IN_TMP.command("bash /tmp/x.sh").rule == "run-temporary"


@pytest.mark.parametrize(
    "text",
    ["echo x > ~/out/x", "cp -r src ~/out", "touch ~/out/a/b", "rm -rf ~/out/a", "cd ~/out && git commit -am x",
     "tar xf a.tar -C ~/out", "mv a ~/out/"],
)  # fmt: skip
def test_further_places_may_be_written(judge: Judge, text: str) -> None:
    assert WIDER.command(text).verdict == "allow"
    assert judge.command(text).verdict == "deny"


@pytest.mark.parametrize(
    "text",
    ["echo x > ~/out/.git/hooks/x", "cp a ~/out/.bashrc", "echo x > ~/out/llmos.toml", "echo x > ~/out/.env",
     "echo x > ~/outer", "echo x > ~/out/../x", "rm -rf ~/out", "rm -rf ~/out/*", "rm -rf ~/out/.git", "rm -rf ~",
     "echo x > ~/out/$X", "rm -rf ~/out/$X", "tar xf a.tar -C ~/out/.git", "cat ~/out/id_rsa", "rm -rf ~/out/$X/a"],
)  # fmt: skip
def test_what_lies_in_further_places_is_guarded(text: str) -> None:
    assert WIDER.command(text).verdict != "allow"


def test_tools_read_and_write_further_places() -> None:
    for tool in ("Read", "Write"):
        assert WIDER.judge(tool, {"file_path": "~/out/x"}).verdict == "allow"
        assert WIDER.judge(tool, {"file_path": "~/out/.ssh/id_rsa"}).verdict == "deny"


def test_the_users_settings_name_further_places(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "real").mkdir(parents=True)
    (home / "link").symlink_to("real")
    settings = SecuritySettings(write=("~/out", str(tmp_path / "more/"), "~/link"))
    judge = judge_for(settings, tmp_path / "work", None, home)
    assert judge.command(f"echo x > ~/out/x; echo y > {tmp_path}/more/y").verdict == "allow"
    for text in ("echo x > ~/x", "echo x > ~/link/x", "echo x > ~/real/x"):
        assert judge.command(text).rule == "write-outside"


@pytest.mark.parametrize("place", ["out", "", "~someone/x", "../x"])
def test_a_further_place_is_named_in_full(place: str) -> None:
    with pytest.raises(ValidationError, match="is no place"):
        SecuritySettings(write=(place,))


def test_a_found_file_opens_no_place(tmp_path: Path) -> None:
    (tmp_path / "llmos.toml").write_text('[plugins.security]\nwrite = ["/"]\n')
    with pytest.raises(SettingsError, match=r"plugins\.security\.write"):
        plugin_settings(SecuritySettings, "security", load_settings(tmp_path))


@pytest.mark.parametrize(
    "path", ["a-1.dist-info/entry_points.txt", "src/a.egg-info/x", "/workspace/proj/A.Dist-Info/x"]
)
@pytest.mark.parametrize("tool", ["Write", "Edit"])
def test_metadata_of_packages_is_asked_about(judge: Judge, tool: str, path: str) -> None:
    judged = judge.judge(tool, {"file_path": path})
    assert (judged.verdict, judged.rule) == ("ask", "write-package")


@pytest.mark.parametrize("path", ["llmos_core/a.py", "llmos_plugin_tools/plugin.py", "llmos_core-0.1.dist-info/RECORD"])
def test_the_installed_code_of_llm_os_is_out_of_reach(judge: Judge, path: str) -> None:
    for place in (".venv/lib/python3.11/site-packages", "venv/lib/python3/dist-packages"):
        assert judge.judge("Write", {"file_path": f"{place}/{path}"}).rule == "write-control"
        assert judge.command(f"echo x >> {place}/{path}").rule == "write-control"
    assert judge.judge("Write", {"file_path": path.replace(".dist-info", "")}).verdict == "allow"

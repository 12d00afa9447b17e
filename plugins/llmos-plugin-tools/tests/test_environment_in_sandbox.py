"""What a command is told of the machine, which of its places it may read, and how wrong settings are told."""

from __future__ import annotations

import site
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from llmos_core import ToolCall
from llmos_plugin_tools import plugin, sandbox
from llmos_plugin_tools.environment import CERTIFICATES, FIXED, command_environment, named_places
from llmos_plugin_tools.sandbox import places, probe
from llmos_plugin_tools.sandbox.check import check
from llmos_plugin_tools.sandbox.places import system_places
from llmos_plugin_tools.sandbox.probe import Choice
from llmos_plugin_tools.settings import SandboxSettings, ToolsSettings

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux")

BASH = ToolCall(id="1", tool="Bash", input={"command": "true"})
PUBLIC = "-----BEGIN CERTIFICATE-----\n"
PRIVATE = "-----BEGIN RSA PRIVATE KEY-----\n"


@pytest.fixture
async def sandboxed(call, run):
    if verdict := await plugin.llmos_pre_tool_use(BASH, run):
        pytest.skip(verdict.reason)
    return call


def passed(**variables: str) -> dict[str, str]:
    found = command_environment(variables)
    return {name: found[name] for name in found.keys() - FIXED.keys() - {"PATH"}}


# --- the network


def test_no_network_without_a_sandbox_is_no_setting() -> None:
    with pytest.raises(ValidationError, match="only a sandbox keeps commands off the network"):
        SandboxSettings(kind="none", network=False)
    SandboxSettings(kind="none")
    SandboxSettings(network=False)


@pytest.mark.parametrize("kind", ["auto", "landlock"])
async def test_no_network_where_no_sandbox_works_is_a_refusal(run, monkeypatch, kind: str) -> None:
    monkeypatch.setattr(sandbox, "IS_LINUX", False)
    settings = SandboxSettings(kind=kind, network=False)
    run.tools_settings = ToolsSettings(sandbox=settings)
    verdict = await plugin.llmos_pre_tool_use(BASH, run)
    assert verdict is not None
    assert (verdict.decision, verdict.rule) == ("deny", "no-network")
    assert "they need Linux" in verdict.reason
    found = check(settings)
    assert (found.state, "Bash is refused" in found.detail) == ("error", True)
    assert "network = false" in found.fix
    run.tools_settings = ToolsSettings(sandbox=SandboxSettings(kind=kind))
    verdict = await plugin.llmos_pre_tool_use(BASH, run)
    assert verdict is not None
    assert verdict.decision == "ask"


# --- variables


@pytest.mark.parametrize("name", sorted(CERTIFICATES))
def test_certificates_are_named_if_they_hold_no_key(tmp_path, monkeypatch, name: str) -> None:
    bundle = tmp_path / "bundle.pem"
    assert passed(**{name: str(bundle)}) == {}
    bundle.write_text(PUBLIC)
    assert passed(**{name: str(bundle)}) == {name: str(bundle)}
    assert list(named_places({name: str(bundle)})) == [bundle]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "with-key.pem").write_text(PUBLIC + PRIVATE)
    for other in (tmp_path / "with-key.pem", tmp_path, "/dev/null", "bundle.pem"):
        assert passed(**{name: str(other)}) == {}
        assert list(named_places({name: str(other)})) == []


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("HTTP_PROXY", "http://proxy:3128", "http://user:pass@proxy:3128"),
        ("HTTPS_PROXY", "http://proxy:3128", "user:pass@proxy:3128"),
        ("http_proxy", "http://proxy:3128", "http://user:pa/ss@proxy:3128"),
        ("https_proxy", "http://proxy:3128", "http://token@proxy:3128"),
        ("ALL_PROXY", "socks5://proxy", "socks5://user:pass@proxy"),
        ("all_proxy", "socks5://proxy", "socks5://user:pass@proxy"),
        ("NO_PROXY", "localhost,.corp", "user:pass@corp"),
        ("no_proxy", "localhost,.corp", "user:pass@corp"),
        ("PIP_INDEX_URL", "https://index/simple", "https://user:pass@index/simple"),
        ("PIP_EXTRA_INDEX_URL", "https://a https://b/c", "https://a https://user:pass@b/c"),
        ("PIP_FIND_LINKS", "https://index/wheels", "https://index/wheels?token=secret"),
        ("UV_INDEX_URL", "https://index/simple", "https://user:pass@index/simple"),
        ("UV_EXTRA_INDEX_URL", "https://index/simple", "https://user:pass@index/simple"),
        ("UV_DEFAULT_INDEX", "https://index/simple", "name=https://user:pass@index/simple"),
        ("npm_config_registry", "https://registry/", "https://user:pass@registry/"),
    ],
)
def test_an_address_is_passed_unless_it_holds_a_credential(name: str, value: str, secret: str) -> None:
    assert passed(**{name: value}) == {name: value}
    assert passed(**{name: secret}) == {}


@pytest.mark.parametrize("name", ["PIP_CLIENT_CERT", "npm_config__auth", "NPM_TOKEN", "UV_INDEX_CORP_PASSWORD"])
def test_other_variables_of_installers_stay_out(tmp_path, name: str) -> None:
    (tmp_path / "file").write_text(PUBLIC)
    assert passed(**{name: str(tmp_path / "file")}) == {}


def test_directories_of_wheels_can_be_read_but_never_the_home(tmp_path, monkeypatch) -> None:
    home, wheels = tmp_path / "home", tmp_path / "home/wheels"
    wheels.mkdir(parents=True)
    links = f"{wheels} file://{tmp_path}/more https://index/wheels relative {home} {tmp_path} /"
    for name in ("more", "relative"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    environ = {"HOME": str(home), "PIP_FIND_LINKS": links}
    opened = {place for place in system_places([], environ) if Path(place).is_relative_to(tmp_path)}
    assert opened == {str(wheels), str(tmp_path / "more")}
    assert not {"/", "relative"} & set(system_places([], environ))
    assert str(wheels) not in system_places([], environ | {"PIP_FIND_LINKS": f"{links} https://user:pass@index"})
    assert not any(place.startswith(str(wheels)) for place in system_places([wheels], environ))


@on_linux
async def test_a_command_finds_the_certificates(sandboxed, run, monkeypatch, tmp_path) -> None:
    for name, text in (("SSL_CERT_FILE", PUBLIC), ("PIP_CERT", PRIVATE)):
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(name, str(tmp_path / name))
    run.services.clear()  # a run of its own, which begins with these
    result = await sandboxed(
        "Bash", command=f'cat "$SSL_CERT_FILE"; echo "${{PIP_CERT-none}}"; cat {tmp_path}/PIP_CERT'
    )
    assert result.output.startswith(f"Exit code 1\n{PUBLIC}none\n")
    assert "PRIVATE" not in result.output


# --- places


@pytest.mark.parametrize(
    "secret",
    [
        "index-url = https://user:pass@index/simple",
        "extra-index-url =\n  https://token@index",
        "//registry/:_authToken=secret",
        "_auth=secret",
        "//registry/:_password=secret",
    ],
)
def test_settings_of_installers_can_be_read_unless_they_hold_a_credential(tmp_path, monkeypatch, secret: str) -> None:
    assert places.INSTALLERS == ("/etc/pip.conf", "/etc/npmrc")
    file = tmp_path / "pip.conf"
    monkeypatch.setattr(places, "INSTALLERS", (str(file), str(tmp_path / "gone")))
    file.write_text("[global]\nindex-url = https://index/simple\ncert = /etc/ssl/certs/ca.crt\n")
    assert str(file) in system_places([], {"HOME": "/"})
    file.write_text(f"[global]\n{secret}\n")
    assert str(file) not in system_places([], {"HOME": "/"})


def test_what_our_python_imports_from_can_be_read(tmp_path, monkeypatch) -> None:
    """The source directories of its .pth files; not what else got onto its path."""
    home = tmp_path / "home"
    packages, source, hidden = tmp_path / "site-packages", home / "checkout/src", home / "hidden"
    for directory in (packages, source, hidden, tmp_path / "unused", tmp_path / "pythonpath"):
        directory.mkdir(parents=True)
    named = (source, hidden, home, tmp_path, "/", tmp_path / "unused", "../gone")
    (packages / "editable.pth").write_text("\n".join(map(str, ("import os", "", *named))))
    (packages / "broken.pth").symlink_to("nowhere")
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(packages)])
    used = (source, hidden, home, tmp_path, "/", tmp_path / "pythonpath", tmp_path / "gone", "")
    monkeypatch.setattr(sys, "path", [*sys.path, *map(str, used)])
    monkeypatch.chdir(tmp_path)
    found = system_places([hidden], {"HOME": str(home)})
    assert [place for place in found if Path(place).is_relative_to(tmp_path)] == [str(source)]
    assert "/" not in found


@on_linux
async def test_what_is_installed_to_be_edited_can_be_imported(sandboxed) -> None:
    """As a command's own Python is that of LLM OS, where its virtual environment is active."""
    code = "import llmos_testkit.plugin, llmos_core; print('imported')"
    assert (await sandboxed("Bash", command=f'{sys.executable} -c "{code}"', timeout=60_000)).output == "imported"


# --- wrong settings


@pytest.mark.parametrize("field", ["read", "write"])
@pytest.mark.parametrize("place", ["rel/path", "", ".", "./x", "~nobody-of-that-name/x", "/a\0b"])
def test_a_place_is_absolute_or_below_the_home(field: str, place: str) -> None:
    with pytest.raises(ValidationError, match="absolute path, or begins with ~/"):
        SandboxSettings.model_validate({field: [place]})
    SandboxSettings.model_validate({field: ["/opt", "~/x", "~"]})


@on_linux
def test_doctor_names_places_that_are_not_there(tmp_path, monkeypatch) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    found = check(SandboxSettings(read=("~/there", "~/gone"), write=(str(tmp_path / "nowhere"),)))
    if "works here" in found.detail:
        pytest.skip(found.detail)
    assert (found.state, found.detail.endswith(f"these are not there: ~/gone, {tmp_path}/nowhere")) == ("warning", True)
    assert check(SandboxSettings(write=("~/there",))).state == "ok"


@on_linux
def test_doctor_says_what_must_not_be_written(tmp_path, monkeypatch) -> None:
    from llmos_plugin_tools.ruling import user_places

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    place = user_places()[0]
    place.mkdir(parents=True)
    for wrong in ("/", str(tmp_path / "config"), str(place)):
        found = check(SandboxSettings(write=(wrong,)))
        if "works here" in found.detail:
            pytest.skip(found.detail)
        assert (found.state, wrong in found.detail, "write" in found.fix) == ("error", True, True)


def test_doctor_says_nothing_of_places_where_no_sandbox_is(monkeypatch) -> None:
    monkeypatch.setattr(probe, "_chosen", {"none": Choice("none")})
    assert check(SandboxSettings(kind="none", write=("/",))).detail.startswith(("off", "none works"))


def test_a_command_tells_wrong_settings_in_words(llmos_cli) -> None:
    file = llmos_cli.home / ".config/llmos/config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('[plugins.tools.sandbox]\nkind = "none"\nnetwork = false\n')
    done = llmos_cli("doctor")
    assert "only a sandbox keeps commands off the network" in done.stdout + done.stderr
    assert done.returncode != 0

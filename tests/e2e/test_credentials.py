"""With a key the model is the real one (here: a server on loopback), and the key stays where it belongs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.cli_fixtures import Llmos

pytestmark = pytest.mark.cli

KEY = "sk-ant-test-0123456789-very-secret"
GOAL = "Look around"
LOOK = "env | sort; cat /proc/$(pgrep -n -x claude)/environ 2>/dev/null | tr '\\0' '\\n'"
TURNS: list[list[dict[str, Any]]] = [
    [{"type": "tool_use", "name": "mcp__llmos__Bash", "input": {"command": f"({LOOK}) > seen.txt; echo looked"}}],
    [{"type": "text", "text": "I looked around."}],
]


class Upstream(BaseHTTPRequestHandler):
    """A model on loopback that plays the turns and remembers who asked."""

    asked: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append({name.lower(): value for name, value in self.headers.items()})
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        data = b"".join(_events(TURNS[turn], turn))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        return None


def _events(blocks: list[dict[str, Any]], turn: int) -> Iterator[bytes]:
    usage = {"input_tokens": 100, "output_tokens": 1}
    start = {"id": f"msg_{turn}", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**start, "stop_reason": None}}]
    for index, block in enumerate(blocks):
        if block["type"] == "text":
            opened, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            opened = {**block, "id": f"toolu_{turn}", "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        events.append({"type": "content_block_start", "index": index, "content_block": opened})
        events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    reason = "end_turn" if blocks[-1]["type"] == "text" else "tool_use"
    events.append({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 20}})
    events.append({"type": "message_stop"})
    for event in events:
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


@pytest.fixture
def upstream() -> Iterator[str]:
    Upstream.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_key_reaches_the_model_and_nothing_else(llmos: Llmos, home: Path, upstream: str) -> None:
    given = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": upstream, "GITHUB_TOKEN": "ghp-also-secret"}
    done = llmos("run", "--json", GOAL, **given)
    assert done.returncode == 0, done.stderr.decode()
    outcome = json.loads(done.stdout)
    assert outcome["output"] == "I looked around."
    assert outcome["billing"] == "real"
    assert outcome["cost_usd"] == 0, "a model on this machine costs nothing unless it is priced"
    assert [headers["x-api-key"] for headers in Upstream.asked] == [KEY, KEY]

    seen = (home / "workspace/projects/default/output/seen.txt").read_text()
    assert "PATH=" in seen
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1" in seen, "the environment of the CLI itself was not seen"
    secrets = (KEY, "ghp-also-secret")
    assert not any(secret in seen for secret in secrets)
    for path in home.rglob("*"):
        if path.is_file():
            assert not any(secret.encode() in path.read_bytes() for secret in secrets), path
    assert not any(secret in (done.stdout + done.stderr).decode() for secret in secrets)


def test_a_model_is_billed_at_its_own_price(llmos: Llmos, home: Path, upstream: str) -> None:
    (home / "llmos.toml").write_text('[prices."my-model"]\ninput = 10.0\noutput = 100.0\n')
    given = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": upstream}
    done = llmos("run", "--json", "--model", "my-model", GOAL, **given)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["cost_usd"] == pytest.approx(2 * (100 * 10 + 20 * 100) / 1e6)


def test_a_wrong_key_is_one_clear_error(llmos: Llmos, home: Path) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = b'{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}'
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(401)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        done = llmos("run", GOAL, ANTHROPIC_API_KEY="sk-wrong", ANTHROPIC_BASE_URL=address)
        server.shutdown()
        thread.join()
    assert done.returncode == 1
    text = done.stderr.decode()
    assert "invalid x-api-key" in text
    assert "sk-wrong" not in text
    assert not list((home / "workspace/memories").rglob("*.md"))

"""A Messages server that says what time it is: each piece of text is the moment at which it was sent.

Run as ``python speaker.py``; it prints its port. The main agent first delegates to a sub-agent, then both speak.
"""

from __future__ import annotations

import itertools
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECES = 50
PAUSE_S = 0.02

_numbers = itertools.count(1)


class Speaker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        begun = any(entry["role"] == "assistant" for entry in message["messages"])
        delegates = not begun and self.headers.get("x-claude-code-agent-id") is None
        usage = {"input_tokens": 10, "output_tokens": 1}
        head = {"id": f"msg_{next(_numbers)}", "type": "message", "role": "assistant", "model": message["model"]}
        self._send("message_start", message={**head, "content": [], "stop_reason": None, "usage": usage})
        if delegates:
            self._delegate()
        else:
            self._speak()
        self._send("content_block_stop", index=0)
        reason = "tool_use" if delegates else "end_turn"
        self._send("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 9})
        self._send("message_stop")
        self.close_connection = True

    def _delegate(self) -> None:
        use = {"type": "tool_use", "id": f"toolu_{next(_numbers)}", "name": "Agent", "input": {}}
        given = {"description": "speak", "prompt": "Say the time.", "subagent_type": "speaker"}
        self._send("content_block_start", index=0, content_block=use)
        delta = {"type": "input_json_delta", "partial_json": json.dumps(given)}
        self._send("content_block_delta", index=0, delta=delta)

    def _speak(self) -> None:
        self._send("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for _ in range(PIECES):
            time.sleep(PAUSE_S)
            self._send("content_block_delta", index=0, delta={"type": "text_delta", "text": f"{time.monotonic():.6f} "})

    def _send(self, kind: str, **data: Any) -> None:
        self.wfile.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode())
        self.wfile.flush()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Speaker)
    print(server.server_port, flush=True)
    server.serve_forever()

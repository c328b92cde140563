"""Which hosts are providers of language models, and what their answers say: id, model, usage."""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

#: Host, or the domain it is in, and the provider's name.
PROVIDERS = {
    "openrouter.ai": "openrouter",
    "api.openai.com": "openai",
    "openai.azure.com": "azure",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "google",
    "api.mistral.ai": "mistral",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.together.xyz": "together",
    "api.fireworks.ai": "fireworks",
    "api.perplexity.ai": "perplexity",
    "api.cerebras.ai": "cerebras",
    "api.cohere.com": "cohere",
    "api.x.ai": "xai",
}

#: Longer bodies are not parsed as a whole, and longer lines of an event stream not at all: bytes.
MOST = 1 << 20
#: A request up to this long is parsed for its model; a longer one is searched.
MOST_REQUEST = 64 << 10

_USAGE = re.compile(rb'"usage(?:Metadata)?"\s*:\s*\{')
_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.){1,200}")')
_PENDING = ("queued", "in_progress")
_MODEL_IN_PATH = re.compile(r"/models/([^/:]+):\w+$")


class Hosts:
    """The hosts that are providers: those everybody knows, and the caller's."""

    def __init__(self, added: Collection[str] | Mapping[str, str]) -> None:
        if isinstance(added, str):
            raise TypeError(f"hosts: {added!r}: pass a list of hosts, or a mapping of hosts to providers")
        names = dict(added.items()) if hasattr(added, "items") else {host: host for host in added}
        self._known = {**PROVIDERS, **{host.lower(): str(name) for host, name in names.items()}}

    def provider(self, host: str, port: int | None) -> str | None:
        """The provider at a host, None where it is none."""
        host = host.lower()
        found = (self._known.get(f"{host}:{port}") if port else None) or self._known.get(host)
        while found is None and "." in host:
            host = host.partition(".")[2]
            found = self._known.get(host)
        return found


def asked_model(content: bytes | None, path: str) -> str | None:
    """The model that a request asks for."""
    in_path = _MODEL_IN_PATH.search(path)
    if in_path:
        return in_path[1]
    if not content or not content.lstrip().startswith(b"{"):
        return None
    if len(content) <= MOST_REQUEST:
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            return None
        model = body.get("model") if isinstance(body, dict) else None
        return model if isinstance(model, str) else None
    found = set(_MODEL.findall(content))
    return str(json.loads(found.pop())) if len(found) == 1 else None


class Answer:
    """What the answer of a provider says, taken from it piece by piece."""

    __slots__ = ("done", "error", "model", "pending", "response_id", "usage")

    def __init__(self) -> None:
        self.response_id: str | None = None
        self.model: str | None = None
        self.usage: dict[str, Any] | None = None
        self.error: str | None = None
        self.done = False
        #: It is made in the background, and asked for later: that answer has the usage.
        self.pending = False

    def body(self, content: bytes) -> None:
        """A whole body."""
        if len(content) > MOST:
            self._search(content)
            return
        try:
            data = json.loads(content)
        except (ValueError, RecursionError):
            return
        if isinstance(data, list):  # Gemini streams a list.
            for part in data:
                self._take(part)
        else:
            self._take(data)

    def event(self, data: bytes) -> None:
        """The data of one server-sent event."""
        if data == b"[DONE]":
            self.done = True
            return
        if self.response_id is None or self.model is None or _USAGE.search(data) or b'"error"' in data:
            try:
                self._take(json.loads(data))
            except (ValueError, RecursionError):
                return
        if b'"message_stop"' in data or b'"response.completed"' in data:
            self.done = True

    def _take(self, data: object) -> None:
        if not isinstance(data, dict):
            return
        for outer in ("response", "message"):  # OpenAI's responses, Anthropic's message_start.
            inner = data.get(outer)
            if isinstance(inner, dict):
                if outer == "message" and isinstance(inner.get("usage"), dict):
                    # At its beginning Anthropic counts the first token of the answer only.
                    inner = {**inner, "usage": {**inner["usage"], "output_tokens": None}}
                self._part(inner)
        self._part(data)

    def _part(self, data: dict[str, Any]) -> None:
        if self.response_id is None:
            self.response_id = _text(data.get("id")) or _text(data.get("responseId"))
        if self.model is None:
            self.model = _text(data.get("model")) or _text(data.get("modelVersion"))
        usage, error = data.get("usage"), data.get("error")
        self.pending = data.get("status") in _PENDING
        if isinstance(data.get("usageMetadata"), dict):
            usage = _of_gemini(data["usageMetadata"])
        if isinstance(usage, dict):
            known = {name: value for name, value in usage.items() if value is not None}
            self.usage = {**(self.usage or {}), **known}
        if isinstance(error, dict):
            code = error.get("code") or error.get("type") or error.get("status")
            self.error = str(code)[:100] if code is not None else "error"

    def _search(self, content: bytes) -> None:
        """The usage of a body too long to be parsed: it mostly stands near the end."""
        places = list(_USAGE.finditer(content))
        if not places:
            return
        text = content[places[-1].start() :].decode(errors="replace")
        try:
            usage, _ = json.JSONDecoder().raw_decode(text, text.index("{"))
        except ValueError:
            return
        name = "usageMetadata" if text.startswith('"usageM') else "usage"
        self._part({name: usage})


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _of_gemini(usage: dict[str, Any]) -> dict[str, Any]:
    thoughts, candidates = usage.get("thoughtsTokenCount"), usage.get("candidatesTokenCount")
    return {
        "prompt": usage.get("promptTokenCount"),
        "completion": candidates if thoughts is None or candidates is None else candidates + thoughts,
        "total": usage.get("totalTokenCount"),
        "cached": usage.get("cachedContentTokenCount"),
        "reasoning": thoughts,
    }

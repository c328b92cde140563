"""Which hosts are providers of language models."""

from __future__ import annotations

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


#: So many addresses' beginnings are remembered.
MOST_PLACES = 256

_MODEL_IN_PATH = re.compile(r"/models/([^/:]+):\w+$")


class Hosts:
    """The hosts that are providers: those everybody knows, and the caller's."""

    def __init__(self, added: Collection[str] | Mapping[str, str]) -> None:
        if isinstance(added, str):
            raise TypeError(f"hosts: {added!r}: pass a list of hosts, or a mapping of hosts to providers")
        names = dict(added.items()) if hasattr(added, "items") else {host: host for host in added}
        self._known = {**PROVIDERS, **{host.lower(): str(name) for host, name in names.items()}}
        self._places: dict[tuple[bytes, bytes, int | None], tuple[str, str | None]] = {}

    def place(self, url: Any) -> tuple[str, str | None]:
        """The beginning of an address, up to its path, and the provider there (None where it is none)."""
        # What the library's own way asks of an address, so that it is at hand.
        key = url.raw_scheme, url.raw_host, url.port
        found = self._places.get(key)
        if found is None:
            if len(self._places) >= MOST_PLACES:
                self._places.clear()
            host = f"[{url.host}]" if ":" in url.host else url.host
            port = f":{url.port}" if url.port else ""
            found = self._places[key] = (f"{url.scheme}://{host}{port}", self.provider(url.host, url.port))
        return found

    def provider(self, host: str, port: int | None) -> str | None:
        """The provider at a host, None where it is none."""
        host = host.lower()
        found = (self._known.get(f"{host}:{port}") if port else None) or self._known.get(host)
        while found is None and "." in host:
            host = host.partition(".")[2]
            found = self._known.get(host)
        return found


def model_in_path(path: str) -> str | None:
    """The model that an address names, as Gemini's do."""
    found = _MODEL_IN_PATH.search(path)
    return found[1] if found else None

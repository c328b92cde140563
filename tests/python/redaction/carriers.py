"""How a secret stands in a line of text: in headers, URLs, JSON, assignments, commands, and as other libraries print it."""

from __future__ import annotations

import base64
import json
import re
import string
from collections.abc import Callable
from random import Random
from urllib.parse import quote, quote_plus, urlencode

from redaction.kinds import ALNUM, HEX, Secret, draw

WORDS = (
    ("password",), ("passwd",), ("db", "pwd"), ("passphrase",), ("secret",), ("client", "secret"), ("secret", "key"),
    ("api", "key"), ("apikey",), ("access", "token"), ("refresh", "token"), ("id", "token"), ("auth", "token"),
    ("bearer", "token"), ("session", "token"), ("api", "token"), ("token",), ("private", "key"), ("credential",),
    ("credentials",), ("secret", "access", "key"), ("user", "password"), ("db", "password"), ("new", "password"),
    ("old", "passwd"), ("api", "secret"), ("webhook", "secret"), ("jwt", "secret"), ("app", "secret"),
    ("client", "credentials"), ("service", "account", "password"), ("proxy", "password"), ("smtp", "password"),
    ("key", "passphrase"), ("session", "cookie"),
)  # fmt: skip
VARIABLES = (
    "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "GITHUB_TOKEN", "HF_TOKEN", "SLACK_BOT_TOKEN",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD", "REDIS_PASSWORD", "DJANGO_SECRET_KEY",
    "STRIPE_SECRET_KEY", "JWT_SECRET", "POSTGRES_PASSWORD", "CF_API_TOKEN", "LANGFUSE_SECRET_KEY",
)  # fmt: skip
HEADERS = (
    "X-Api-Key", "X-API-Key", "Api-Key", "X-Auth-Token", "X-Access-Token", "X-Amz-Security-Token", "X-Goog-Api-Key",
    "X-Vault-Token", "Private-Token", "X-Client-Secret", "X-Secret",
)  # fmt: skip


def name(rng: Random) -> str:
    """A name under which a secret stands, in somebody's style."""
    if rng.random() < 0.2:
        return rng.choice(VARIABLES)
    words = rng.choice(WORDS)
    style = rng.randrange(6)
    if style == 0:
        return "_".join(words).upper()
    if style == 1:
        return "-".join(words)
    if style == 2:
        return words[0] + "".join(word.title() for word in words[1:])
    if style == 3:
        return "".join(word.title() for word in words)
    if style == 4:
        return rng.choice(("app", "main", "x", "my", "remote")) + "_" + "_".join(words)
    return "_".join(words)


def header(rng: Random) -> str:
    """The name of a header that holds nothing but a secret, in some case."""
    return rng.choice((str, str.lower, str.upper))(rng.choice(HEADERS))


def basic(rng: Random, secret: str) -> str:
    return base64.b64encode(f"{draw(rng, string.ascii_lowercase, 6)}:{secret}".encode()).decode()


def digest(rng: Random) -> str:
    return (
        f'Digest username="{draw(rng, string.ascii_lowercase, 6)}", realm="api", nonce="{draw(rng, HEX, 32)}", '
        'uri="/v1/items", qop=auth, nc=00000001, '
    )


def sent(rng: Random, value: str) -> dict[str, object]:
    """What a program sends, with a secret under a name in it."""
    return {"user": draw(rng, string.ascii_lowercase, 6), "retries": rng.randrange(9), name(rng): value, "ok": True}


Carrier = Callable[[Random, str], str]
Q, QP = quote, quote_plus


def host(rng: Random) -> str:
    return f"{draw(rng, string.ascii_lowercase, 5)}.example.com"


def query(rng: Random) -> str:
    return rng.choice(
        ("api_key", "token", "access_token", "apikey", "password", "client_secret", "secret", "auth_token")
    )


# Text that may hold a secret of any characters, because it is quoted or encoded.
QUOTING: dict[str, Carrier] = {
    "json": lambda r, v: f"request body {json.dumps(sent(r, v))} rejected",
    "json-unicode": lambda r, v: json.dumps(sent(r, v), ensure_ascii=False),
    "json-nested": lambda r, v: json.dumps({"config": {"auth": [{"inner": sent(r, v)}]}, "n": 1}),
    "json-pretty": lambda r, v: "loaded\n" + json.dumps(sent(r, v), indent=2),
    "json-in-json": lambda r, v: json.dumps({"body": json.dumps(sent(r, v)), "status": 401}),
    "json-in-json-in-json": lambda r, v: json.dumps({"event": json.dumps({"body": json.dumps(sent(r, v))})}),
    "repr": lambda r, v: f"calling with {sent(r, v)!r}",
    "repr-in-json": lambda r, v: json.dumps({"error": f"bad arguments {sent(r, v)!r}"}),
    "json-in-repr": lambda r, v: repr({"body": json.dumps(sent(r, v))}),
    "repr-pairs": lambda r, v: f"headers [('accept', '*/*'), {(header(r), v)!r}, ('host', 'x')]",
    "repr-byte-pairs": lambda r, v: f"[(b'Accept', b'*/*'), {(header(r).encode(), v.encode())!r}, (b'Host', b'x')]",
    "query": lambda r, v: f"GET https://{host(r)}/v1/items?limit=10&{query(r)}={Q(v, safe='')}&page=2 failed",
    "query-plus": lambda r, v: f'"GET /items?{query(r)}={QP(v)} HTTP/1.1" 200',
    "fragment": lambda r, v: f"redirect to https://{host(r)}/cb#state=x1&access_token={Q(v, safe='')}&expires_in=3600",
    "query-in-query": lambda r, v: (
        f"https://{host(r)}/login?next=" + Q(f"https://{host(r)}/cb?a=1&{query(r)}={Q(v, safe='')}&b=2", safe="")
    ),
    "userinfo": lambda r, v: f"cloning https://bob:{Q(v, safe='')}@{host(r)}/group/project.git",
    "postgres": lambda r, v: f"cannot connect to postgresql+asyncpg://app:{Q(v, safe='')}@{host(r)}:5432/main?ssl=true",
    "mongodb": lambda r, v: f"mongodb+srv://app:{Q(v, safe='')}@{host(r)}/?retryWrites=true&w=majority",
    "redis": lambda r, v: f"redis://:{Q(v, safe='')}@{host(r)}:6379/0",
    "amqp": lambda r, v: f"amqps://guest:{Q(v, safe='')}@{host(r)}//",
    "jdbc": lambda r, v: f"jdbc:mysql://{host(r)}:3306/main?user=app&password={Q(v, safe='')}&useSSL=true",
    "form": lambda r, v: "body: " + urlencode({"username": "bob", query(r): v, "grant_type": "password"}),
    "basic": lambda r, v: f"sent Authorization: Basic {basic(r, v)} to {host(r)}",
    "basic-alone": lambda r, v: f"scheme Basic {basic(r, v)} refused",
}
# Text in which a secret must be one word.
BARE: dict[str, Carrier] = {
    "assignment": lambda r, v: f"starting with {name(r)}={v} on port 8000",
    "assignment-end": lambda r, v: f"{name(r)}={v}",
    "colon": lambda r, v: f"{name(r)}: {v}",
    "spaced": lambda r, v: f"{name(r)} = {v}",
    "export": lambda r, v: f"export {r.choice(VARIABLES)}={v}",
    "double-quotes": lambda r, v: f'{name(r)}="{v}"',
    "single-quotes": lambda r, v: f"{name(r)} = '{v}'",
    "rocket": lambda r, v: f"{{ :user => 'bob', :{name(r).replace('-', '_')} => '{v}' }}",
    "walrus": lambda r, v: f'{name(r).replace("-", "_")} := "{v}"',
    "javascript": lambda r, v: f"connect({{user: 'bob', {name(r).replace('-', '_')}: '{v}', port: 1}})",
    "call": lambda r, v: f"Client(host='x', {name(r).replace('-', '_')}='{v}', timeout=3.0)",
    "flag": lambda r, v: f"tool serve --user bob --{name(r).replace('_', '-').lower()} {v} --port 80",
    "flag-equals": lambda r, v: f"tool serve --{name(r).replace('_', '-').lower()}={v} --port 80",
    "argv": lambda r, v: repr(["tool", "--" + name(r).replace("_", "-").lower(), v, "--port", "80"]),
    "yaml": lambda r, v: f"server:\n  host: x\n  {name(r)}: {v}\n  port: 80\n",
    "ini": lambda r, v: f"[db]\nuser = app\n{name(r)} = {v}\nport = 5432\n",
    "header-line": lambda r, v: f"{header(r)}: {v}",
    "header-lines": lambda r, v: f"POST /v1 HTTP/1.1\r\nHost: x\r\n{header(r)}: {v}\r\nAccept: */*\r\n\r\n",
    "bearer": lambda r, v: f"Authorization: Bearer {v}",
    "bearer-lower": lambda r, v: f"sending authorization: bearer {v} again",
    "bearer-alone": lambda r, v: f"the server refused Bearer {v}.",
    "proxy": lambda r, v: f"Proxy-Authorization: Bearer {v}",
    "token-scheme": lambda r, v: f"Authorization: token {v}",
    "bare-authorization": lambda r, v: f"authorization={v}",
    "bearer-json": lambda r, v: json.dumps({"headers": {"Authorization": f"Bearer {v}", "Accept": "*/*"}}),
    "bearer-pairs": lambda r, v: f"[(b'authorization', b'Bearer {v}'), (b'accept', b'*/*')]",
    "bearer-headers": lambda r, v: f"Headers({{'host': 'x', 'authorization': 'Bearer {v}', 'accept': '*/*'}})",
    "hpack": lambda r, v: (
        f"Adding (b'authorization', b'Bearer {v}') to the header table, sensitive:False, huffman:True"
    ),
    "curl": lambda r, v: f"curl -s -X POST https://{host(r)} -H '{header(r)}: {v}' -d '{{}}'",
    "curl-bearer": lambda r, v: f'curl https://{host(r)} -H "Authorization: Bearer {v}" -v',
    "digest": lambda r, v: f'Authorization: {digest(r)}response="{v}", opaque="5ccc"',
    "cookie": lambda r, v: f"Cookie: theme=dark; sessionid={v}; lang=en",
    "cookie-second": lambda r, v: f"cookie: a=1; {draw(r, string.ascii_lowercase, 5)}={v}",
    "set-cookie": lambda r, v: f"Set-Cookie: sid={v}; Path=/; HttpOnly; SameSite=Lax",
    "set-cookie-pairs": lambda r, v: (
        "receive_response_headers.complete return_value=(b'HTTP/1.1', 200, b'OK', [(b'date', b'now'), "
        f"(b'set-cookie', b'__cf_bm={v}; path=/; HttpOnly'), (b'server', b'x')])"
    ),
    "libpq": lambda r, v: f"host={host(r)} port=5432 dbname=main user=app password={v} sslmode=require",
    "ado": lambda r, v: f"Server=tcp:{host(r)},1433;User ID=app;Password={v};Encrypt=True;",
    "azure-storage": lambda r, v: (
        f"DefaultEndpointsProtocol=https;AccountName=app;AccountKey={v};EndpointSuffix=core.windows.net"
    ),
    "service-bus": lambda r, v: f"Endpoint=sb://{host(r)}/;SharedAccessKeyName=Root;SharedAccessKey={v};EntityPath=q",
}
# What is a secret by its shape needs no name beside it.
ALONE: dict[str, Carrier] = {
    "alone": lambda r, v: v,
    "prose": lambda r, v: f"the key {v} was refused (401)",
    "parentheses": lambda r, v: f"Incorrect key provided ({v}).",
    "quoted": lambda r, v: f'got "{v}", wanted another',
    "path": lambda r, v: f"GET https://{host(r)}/v1/{v}/models 404",
    "unknown-query": lambda r, v: f"https://{host(r)}/q?x={v}&y=1",
    "list": lambda r, v: repr(["a", v, 3]),
    "json-value": lambda r, v: json.dumps({"note": v}),
    "markup": lambda r, v: f"<key>{v}</key>",
    "comma": lambda r, v: f"one,{v},two",
    "newline": lambda r, v: f"first\n{v}\nlast",
    "backticks": lambda r, v: f"use `{v}` here",
}


def fits(secret: Secret, carrier: str) -> bool:
    """Whether text of this form can hold the secret so that a reader would know where it ends."""
    text = secret.text
    if carrier in QUOTING:
        # What is no text of one line does not stand in URLs, and a scheme's base 64 hides the rest anyway.
        return "\n" not in text or carrier.startswith(("json", "repr", "query", "form"))
    if carrier in ALONE:
        return "\n" not in text or carrier in ("alone", "newline", "json-value", "list", "markup")
    if re.search(r"[\s'\"\\&{}<>]", text):
        return False
    if carrier.startswith(("cookie", "set-cookie")):
        return not re.search(r"[;,]", text)
    if carrier in ("bearer-alone", "bearer-lower", "bearer", "proxy", "token-scheme") or "bearer" in carrier:
        return bool(re.fullmatch(r"[A-Za-z0-9._~+/:-]+=*", text)) and text[-1] != "."
    if carrier in ("hpack", "digest"):
        return bool(re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", text))
    return True


def carry(rng: Random, secret: Secret, carrier: str) -> tuple[str, tuple[str, ...]]:
    """The text that holds the secret, and what of it nothing may give away."""
    make = QUOTING.get(carrier) or BARE.get(carrier) or ALONE[carrier]
    text = make(rng, secret.text)
    encoded = re.findall(r"Basic ([A-Za-z0-9+/=]{16,})", text) if carrier.startswith("basic") else []
    return text, (*secret.parts, *(part.rstrip("=") for part in encoded))


__all__ = ["ALNUM", "ALONE", "BARE", "QUOTING", "carry", "fits", "header", "name"]

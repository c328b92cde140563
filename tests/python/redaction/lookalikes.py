"""Lines that hold no secret and look as if: what programs, libraries and commands print all day. They must stay as they are."""
# ruff: noqa: E501 - the shapes read better one a line

from __future__ import annotations

import base64
import json
import string
import uuid
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from redaction.kinds import ALNUM, BASE32, HEX, LOWER, URLSAFE, draw

MODELS = (
    "gpt-4o-mini", "gpt-4.1", "o3-mini", "claude-opus-4-5-20251101", "claude-3-7-sonnet-latest", "gemini-2.5-pro",
    "meta-llama/llama-3.3-70b-instruct:free", "openrouter/auto", "mistralai/mixtral-8x7b", "text-embedding-3-small",
    "deepseek/deepseek-r1", "ft:gpt-4o-mini-2024-07-18:acme::9xYzAbCd", "sk-learn/tabular", "x-ai/grok-4",
)  # fmt: skip
COUNTS = (
    "max_tokens", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens", "n_tokens",
    "num_tokens", "token_count", "max_new_tokens", "maxTokens", "promptTokens", "totalTokenCount", "tokens", "input_tokens",
    "output_tokens", "cache_read_input_tokens", "max_completion_tokens", "tokens_per_second", "token_budget", "MAX_TOKENS",
    "time_to_first_token", "cost_per_token", "max-tokens", "token_limit", "audio_tokens", "tokens_used", "token_index",
)  # fmt: skip
Text = Callable[[Random], str]


def n(r: Random, top: int = 9999) -> int:
    return r.randint(1, top)


def sha1(r: Random) -> str:
    return draw(r, HEX, 40)


def sha256(r: Random) -> str:
    return draw(r, HEX, 64)


def md5(r: Random) -> str:
    return draw(r, HEX, 32)


def guid(r: Random) -> str:
    return str(uuid.UUID(int=r.getrandbits(128), version=4))


def word(r: Random) -> str:
    return r.choice(
        ("report", "invoice", "worker", "session", "cache", "planner", "router", "orders", "billing", "search")
    )


def user(r: Random) -> str:
    return r.choice(("bob", "alice", "app", "deploy", "root", "ci-runner"))


def when(r: Random) -> str:
    return f"2026-{r.randint(1, 12):02}-{r.randint(1, 28):02}T{r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}Z"


def b64(r: Random, size: int = 18) -> str:
    return base64.b64encode(r.randbytes(size)).decode()


def ip(r: Random) -> str:
    return ".".join(str(r.randrange(256)) for _ in range(4))


def pem(label: str) -> Text:
    def make(r: Random) -> str:
        return f"-----BEGIN {label}-----\n{b64(r, 48)}\n{b64(r, 48)}\n-----END {label}-----"

    return make


TEXTS: dict[str, Text] = {
    # token counts
    "count": lambda r: f"{r.choice(COUNTS)}={n(r)}",
    "count-colon": lambda r: f"{r.choice(COUNTS)}: {n(r)}, temperature: 0.7",
    "counts-json": lambda r: json.dumps({"usage": {k: n(r) for k in r.sample(COUNTS, 4)}, "model": r.choice(MODELS)}),
    "counts-repr": lambda r: str({"usage": {k: n(r) for k in r.sample(COUNTS, 4)}, "model": r.choice(MODELS)}),
    "counts-nested": lambda r: json.dumps({"body": json.dumps({k: n(r) for k in r.sample(COUNTS, 3)})}),
    "counts-object": lambda r: (
        f"CompletionUsage(completion_tokens={n(r)}, prompt_tokens={n(r)}, total_tokens={n(r)}, completion_tokens_details="
        f"CompletionTokensDetails(accepted_prediction_tokens=0, audio_tokens=0, reasoning_tokens={n(r)}))"
    ),
    "counts-prose": lambda r: f"Token usage: {n(r)} in, {n(r)} out; {n(r)} tokens left of {n(r)}",
    "counts-limit": lambda r: (
        f"This model's maximum context length is {n(r)} tokens. However, your messages resulted in {n(r)} tokens."
    ),
    "counts-flag": lambda r: f"serve --max-tokens {n(r)} --token-budget={n(r)} --model {r.choice(MODELS)}",
    "counts-query": lambda r: f"GET https://x.example.com/v1/count?max_tokens={n(r)}&tokens={n(r)}&model={r.choice(MODELS)}",
    "token-number": lambda r: f"decoded token={n(r)} at position {n(r)}",
    "tokenizer": lambda r: json.dumps({"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>",
                                       "eos_token_id": n(r), "model_max_length": n(r)}),
    "tokenizer-repr": lambda r: (
        f"PreTrainedTokenizerFast(name_or_path='{r.choice(MODELS)}', vocab_size={n(r)}, special_tokens={{'bos_token': "
        "'<|begin_of_text|>', 'eos_token': '<|eot_id|>'})"
    ),
    "tokenizer-prose": lambda r: f"Setting `pad_token_id` to `eos_token_id`:{n(r)} for open-end generation.",
    "token-type": lambda r: json.dumps({"token_type": "bearer", "expires_in": n(r), "scope": "read write"}),
    "token-kind": lambda r: f"token_type=Bearer grant_type=client_credentials expires_in={n(r)}",
    # prose
    "prose-password": lambda r: r.choice((
        f'FATAL: password authentication failed for user "{user(r)}"', f"Invalid password for user {user(r)}",
        f"{user(r)} changed the password {n(r)} days ago", "The password must have at least 12 characters",
        f"wrong password ({n(r, 3)} attempts left)", "Enter your password:", "password required, none given",
        f"password reset mail sent to {user(r)}@example.com", "Passwords do not match", "forgot password? see the manual",
    )),
    "prose-token": lambda r: r.choice((
        f"Unexpected token }} in JSON at position {n(r)}", f"token expired at {when(r)}", "the token has no scopes",
        "syntax error near unexpected token `('", "invalid_token", f"CSRF token missing or incorrect ({n(r)})",
        f"refreshing the access token in {n(r)} s", "Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON",
        f"token bucket holds {n(r)} of {n(r)}", f"issued a token to {user(r)}", "Token refresh succeeded", "token ring topology",
    )),
    "prose-key": lambda r: r.choice((
        "Missing API key: set the OPENAI_API_KEY environment variable", f"API key not found for tenant {n(r)}",
        f"The api key of {user(r)} was rotated", "You didn't provide an API key.", f"duplicate key value violates {word(r)}_pkey",
        "private key and certificate do not match", f"KeyError: '{word(r)}'", "No secret is known under that name",
        f"secret \"{word(r)}-db\" not found in namespace \"prod\"", "Unable to locate credentials", "credentials are valid",
        "the secret of good logs is restraint", f"{user(r)}'s credentials expire in {n(r)} days",
    )),
    "prose-auth": lambda r: r.choice((
        "Authorization header missing", "Basic authentication is disabled", "Bearer token missing", "Bearer authentication required",
        "Basic usage of the tool", "Digest authentication is not supported", f"authorization failed with 403 for {user(r)}",
        'WWW-Authenticate: Bearer realm="api", error="invalid_token"', 'www-authenticate: Basic realm="staging"',
        "the bearer of this message", f"digest of {n(r)} mails sent", "Not authorized", "authenticating with basic credentials",
        "Accepted Basic or Bearer schemes only",
    )),
    "prose-cookie": lambda r: r.choice((
        "cookie expired", f"accepted {n(r)} cookies", "Cookie policy shown", f"session {n(r)} ended", "no cookies in the jar",
        "third-party cookies are blocked", "cookie consent given",
    )),
    "words": lambda r: r.choice((
        f"passed={n(r)} failed={n(r)}", f"bypass={n(r)}", f"compass: {n(r)}", "secretary: Alice", f"passengers={n(r)}",
        f"monkey={word(r)}", f"keyboard: {word(r)}", f"tokenization={word(r)}", f"author: {user(r)}", f"authority={word(r)}",
        f"passthrough={word(r)}", f"hotkey: ctrl+{r.choice(LOWER)}", f"turkey={word(r)}", f"pass_rate=0.{n(r)}",
        f"authored_by: {user(r)}", f"keystore type: {word(r)}", f"cookiecutter: {word(r)}", f"tokenized: {word(r)}",
    )),
    "about-secrets": lambda r: r.choice((
        f"password_min_length={n(r, 32)}", f"password_changed_at={when(r)}", f"ACCESS_TOKEN_EXPIRE_MINUTES={n(r)}",
        "has_password=True", "password=None", "token: null", f"token_expires_in: {n(r)}", "SESSION_COOKIE_SECURE=True",
        f"SESSION_COOKIE_AGE={n(r)}", "token_endpoint=https://auth.example.com/oauth2/token", f"secret_version: {n(r)}",
        "password_file=/run/secrets/db_password", "private_key_path=/etc/ssl/key.pem", f"cookies: {n(r)}", "use_auth_token=False",
        "api_key_header=X-API-Key", f"password_policy={word(r)}", "token_url: https://auth.example.com/token",
        "secret=False", f"key={word(r)}", f"cache_key={word(r)}:{n(r)}", f"primary_key={n(r)}", f"partition_key: {word(r)}",
        f"idempotency_key={guid(r)}", f"routing_key: {word(r)}.created", f"public_key={draw(r, HEX, 64)}", "password=***",
    )),
    # ids and hashes
    "uuid": lambda r: f"job {guid(r)} started by {guid(r).upper()}",
    "ulid": lambda r: f"event 01J{draw(r, string.digits + 'ABCDEFGHJKMNPQRSTVWXYZ', 23)} stored",
    "sha1": lambda r: r.choice(("commit {}", "HEAD is now at {}", "rev={}", "git fetch {}", "tree {}")).format(sha1(r)),
    "sha256": lambda r: r.choice(("sha256:{}", "digest {}", "checksum={}", "image@sha256:{}", "{}  model.safetensors")).format(sha256(r)),
    "md5": lambda r: r.choice(("md5={}", 'ETag: "{}"', "Content-MD5 {}", "{}  data.csv", "etag: W/\"{}\"", "hash {}")).format(md5(r)),
    "integrity": lambda r: f"integrity sha512-{b64(r, 64)}",
    "short-sha": lambda r: f"index {sha1(r)[:7]}..{sha1(r)[:7]} 100644",
    "base64-id": lambda r: f"cursor {b64(r, n(r, 30) + 3)} page {n(r)}",
    "base64-json": lambda r: "state " + base64.b64encode(json.dumps({"page": n(r), "q": word(r)}).encode()).decode(),
    "opaque-id": lambda r: f"request {draw(r, URLSAFE, 22)} took {n(r)} ms",
    "order": lambda r: f"order {n(r, 10**9)} of customer C-{draw(r, string.digits, 8)} paid",
    "phone-like": lambda r: f"ticket {draw(r, string.digits, 10)} ref {draw(r, string.digits, 16)}",
    "snowflake": lambda r: f"message {r.randint(10**17, 10**18)} in channel {r.randint(10**17, 10**18)}",
    "provider-id": lambda r: r.choice((
        f"chatcmpl-{draw(r, ALNUM, 29)}", f"resp_{draw(r, HEX, 48)}", f"msg_01{draw(r, ALNUM, 22)}", f"call_{draw(r, ALNUM, 24)}",
        f"toolu_01{draw(r, ALNUM, 22)}", f"req_{draw(r, HEX, 32)}", f"run_{draw(r, ALNUM, 24)}", f"thread_{draw(r, ALNUM, 24)}",
        f"asst_{draw(r, ALNUM, 24)}", f"file-{draw(r, ALNUM, 22)}", f"gen-{n(r, 10**9)}-{draw(r, ALNUM, 20)}",
        f"org-{draw(r, ALNUM, 24)}", f"proj_{draw(r, ALNUM, 24)}", f"batch_{draw(r, HEX, 32)}", f"vs_{draw(r, HEX, 32)}",
        f"cus_{draw(r, ALNUM, 14)}", f"ch_{draw(r, ALNUM, 24)}", f"evt_{draw(r, ALNUM, 24)}", f"price_{draw(r, ALNUM, 24)}",
    )) + " done",
    "request-ids": lambda r: f"x-request-id: {guid(r)} cf-ray: {draw(r, HEX, 16)}-FRA x-amzn-requestid: {guid(r)}",
    "traceparent": lambda r: f"traceparent: 00-{draw(r, HEX, 32)}-{draw(r, HEX, 16)}-01",
    "aws": lambda r: r.choice((
        f"arn:aws:iam::{draw(r, string.digits, 12)}:role/{word(r)}", f"instance i-0{draw(r, HEX, 16)}",
        f"arn:aws:secretsmanager:eu-west-1:{draw(r, string.digits, 12)}:secret:{word(r)}-{draw(r, ALNUM, 6)}",
        f"assumed role AROA{draw(r, BASE32, 17)}", f"s3://{word(r)}-bucket/{sha1(r)}/part-{n(r)}.parquet", f"ami-0{draw(r, HEX, 16)}",
    )),
    "google": lambda r: f"projects/{word(r)}-{n(r)}/locations/eu/endpoints/{draw(r, string.digits, 19)} sa@{word(r)}.iam.gserviceaccount.com",
    "near-prefix": lambda r: r.choice((
        f"npm_config_registry={word(r)}", f"npm_lifecycle_event={word(r)}", f"npm_package_version=1.{n(r)}", "installing sk-learn",
        f"hf_hub_download of {word(r)}", "HF_HUB_ENABLE_HF_TRANSFER=1", f"sk_buff at 0x{draw(r, HEX, 12)}", f"task-{word(r)}-{n(r)}",
        f"risk-assessment-{word(r)}-{n(r)}", "gsk_renderer_new_for_surface", f"pypi-server on {n(r)}", f"disk-{draw(r, LOWER, 8)}-{n(r)}",
        f"xai-org/{word(r)}", f"desk-{draw(r, HEX, 8)}", "AKIA is how such ids begin", "x = 1//0", f"gho_st in the {word(r)}",
        "ask-or-tell", f"mask-{draw(r, LOWER, 16)}.png", f"whisk-{draw(r, LOWER, 20)}", "hf_xet 1.1.0", f"ya29 of {n(r)}", "SG.de.com",
        f"glpat is a prefix of {n(r)}", f"dapi-{word(r)}", f"eyJ is base 64 of {{\" ({n(r)})", f"r8_{n(r)} register",
        f"xoxo-{word(r)}", f"task_{draw(r, LOWER, 24)}", f"risk_live_{word(r)}", f"the sk-{word(r)}-service pod",
    )),
    "certificate": pem("CERTIFICATE"),
    "public-key": pem("PUBLIC KEY"),
    "ssh-public": lambda r: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{draw(r, ALNUM, 43)} {user(r)}@laptop",
    "fingerprint": lambda r: f"SHA256:{draw(r, ALNUM + '+/', 43)} {user(r)} (ED25519) " + ":".join(draw(r, HEX, 2) for _ in range(16)),
    # numbers, times, addresses
    "times": lambda r: f"{when(r)} took {n(r)}.{n(r)} s, next at {r.randint(10**9, 2 * 10**9)} ({n(r, 23)}:{n(r, 59):02}:{n(r, 59):02})",
    "versions": lambda r: f"python 3.{n(r, 14)}.{n(r, 20)} httpx==0.{n(r)} @types/node@{n(r, 24)}.{n(r)}.0 v{n(r)}-rc.{n(r)}+build.{n(r)}",
    "addresses": lambda r: f"{ip(r)}:{n(r, 65535)} -> [2001:db8:{draw(r, HEX, 4)}::{draw(r, HEX, 4)}]:443 via 02:42:{draw(r, HEX, 2)}:11:00:02",
    "mail": lambda r: f"mail from {user(r)}.{word(r)}@example.com to {user(r)}+{word(r)}@mail.example.org",
    "object": lambda r: f"<httpcore._backends.sync.SyncStream object at 0x{draw(r, HEX, 12)}>",
    "floats": lambda r: f"loss={r.random():.12f} lr={r.random():.3e} step={n(r)} grad_norm={r.random()}",
    # places
    "url": lambda r: f"https://{word(r)}.example.com/v1/{word(r)}/{n(r)}?page={n(r)}&sort=-created_at&q={word(r)}+{word(r)}#results-{n(r)}",
    "url-user": lambda r: r.choice((
        f"ssh://git@github.com/acme/{word(r)}.git", f"git@github.com:acme/{word(r)}.git", f"postgresql://app@db:5432/{word(r)}",
        f"redis://cache:6379/{n(r, 15)}", f"postgresql://localhost/{word(r)}", f"mongodb://a:27017,b:27018/{word(r)}?replicaSet=rs0",
        f"https://example.com:8080/@{user(r)}/{n(r)}", f"amqp://queue:5672/{word(r)}", f"http://[::1]:{n(r)}/x@y", f"sqlite:////srv/{word(r)}.db",
    )),
    "url-about": lambda r: r.choice((
        "https://auth.example.com/oauth2/token", "https://example.com/password/reset", "https://x.example.com/v1/tokens/count",
        f"https://example.com/docs/api-keys#rotate-{n(r)}", f"/users/{n(r)}/credentials", "POST /session/cookie HTTP/1.1",
        "https://platform.openai.com/account/api-keys", f"GET /v1/secrets/{word(r)} 200", f"https://example.com/cb?state={guid(r)}",
    )),
    "paths": lambda r: r.choice((
        "/home/bob/.aws/credentials", "/run/secrets/db_password", "/etc/passwd", "~/.ssh/id_rsa.pub", "C:\\Users\\bob\\token.txt",
        f"/srv/app/{word(r)}/auth/tokens.py:{n(r)}", f"node_modules/js-tokens/index.js:{n(r)}", f"src/secret_{word(r)}.rs", f"./cookies/{n(r)}.txt",
    )),
    # code and SQL
    "code": lambda r: r.choice((
        "def login(user: str, password: str) -> Token:", "def connect(host, password=None, token: str | None = None):",
        "client = OpenAI(api_key=api_key)", "client = OpenAI(api_key=self.api_key)", "token = next(tokens)", "if token == '':",
        "raise ValueError('password is required')", "self._password = password", "tokens = tokenizer.encode(text)",
        "const token = await getToken();", "api_key=os.environ['OPENAI_API_KEY']", "password = getpass.getpass()",
        f"for token in doc[{n(r)}:]:", "secret = load_secret(name)", "return {'token': token, 'user': user}", "headers['Authorization'] = header",
        "self.secret_key = settings.SECRET_KEY", 'api_key = os.getenv("API_KEY")', "assert response.cookies == {}", f"x = token[{n(r)}]",
    )),
    "code-frame": lambda r: f'  File "/srv/app/auth/tokens.py", line {n(r)}, in refresh_token\n    return decode(token, keys)\n',
    "sql": lambda r: r.choice((
        f"SELECT users.id, users.password_hash, users.token_count FROM users WHERE users.id = {n(r)}",
        "CREATE TABLE users (id INTEGER NOT NULL, password_hash VARCHAR(128) NOT NULL, api_key_id INTEGER, PRIMARY KEY (id))",
        f"CREATE INDEX ix_tokens_user ON tokens (user_id) -- {n(r)}", "UPDATE sessions SET token = ? WHERE id = ?", "DELETE FROM tokens WHERE expires < now()",
        "INSERT INTO credentials (user_id, secret) VALUES (%s, %s)", f"[generated in 0.000{n(r)}s] ({n(r)}, '{word(r)}')",
        f"ALTER TABLE users ADD COLUMN password_changed_at TIMESTAMP; -- {n(r)}", "SELECT count(*) FROM secrets WHERE password IS NULL",
        "select * from users where password = %(password)s and token = :token",
    )),
    # what other programs print
    "uvicorn": lambda r: f'INFO:     {ip(r)}:{n(r)} - "POST /v1/tokens/count HTTP/1.1" {r.choice((200, 401))} OK',
    "httpx": lambda r: f'HTTP Request: POST https://api.openai.com/v1/{word(r)} "HTTP/1.1 {r.choice((200, 429))} OK"',
    "httpcore": lambda r: f"connect_tcp.started host='api.{word(r)}.com' port=443 local_address=None timeout={n(r)}.0 socket_options=None",
    "httpcore-headers": lambda r: (
        "receive_response_headers.complete return_value=(b'HTTP/1.1', 200, b'OK', [(b'Date', b'Sat, 21 Nov 2026 10:00:00 GMT'), "
        f"(b'x-ratelimit-remaining-tokens', b'{n(r)}'), (b'x-ratelimit-reset-tokens', b'{n(r)}ms'), (b'cf-ray', b'{draw(r, HEX, 16)}-FRA'), "
        "(b'access-control-allow-credentials', b'true'), (b'vary', b'Authorization, Cookie')])"
    ),
    "openai": lambda r: "Request options: " + str({
        "method": "post", "url": "/chat/completions", "files": None, "idempotency_key": f"stainless-python-retry-{guid(r)}",
        "json_data": {"messages": [{"role": "user", "content": f"what is a token? {n(r)}"}], "model": r.choice(MODELS), "max_tokens": n(r)},
    }),
    "openai-error": lambda r: (
        f"Error code: 429 - {{'error': {{'message': 'Rate limit reached for {r.choice(MODELS)} in organization org-{draw(r, ALNUM, 24)} on "
        f"tokens per min (TPM): Limit {n(r)}, Used {n(r)}', 'type': 'tokens', 'param': None, 'code': 'rate_limit_exceeded'}}}}"
    ),
    "mcp": lambda r: r.choice(("Processing request of type CallToolRequest", f"Terminating session: {md5(r)}", f"Created new transport with session ID: {md5(r)}")),
    "model": lambda r: f"model={r.choice(MODELS)} tier={word(r)} provider={user(r)}",
    "git": lambda r: r.choice((f"[main {sha1(r)[:7]}] Rotate the api key", f"   {sha1(r)[:9]}..{sha1(r)[:9]}  main -> main", f"Author: {user(r)} <{user(r)}@example.com>",
                               f"remote: Resolving deltas: 100% ({n(r)}/{n(r)}), done.", " 3 files changed, token.py | 12 ++--")),
    "pip": lambda r: r.choice((f"Collecting tokenizers=={n(r)}.0", f"Downloading tokenizers-0.{n(r)}-cp311-manylinux.whl (2.9 MB)",
                               f"httpx==0.28.1 --hash=sha256:{sha256(r)}", f"Successfully installed secretstorage-3.{n(r)} passlib-1.{n(r)}")),
    "docker": lambda r: r.choice((f"{sha256(r)[:12]}: Pull complete", f"Digest: sha256:{sha256(r)}", f"Created container {sha256(r)}", f"Status: Downloaded newer image for {word(r)}:{n(r)}")),
    "kubernetes": lambda r: r.choice((f"pod/{word(r)}-{draw(r, HEX, 10)}-{draw(r, LOWER, 5)} created", f"secret/{word(r)}-tls configured", "secrets \"regcred\" not found",
                                      f'MountVolume.SetUp failed for volume "kube-api-access-{draw(r, LOWER, 5)}"', f"serviceaccount/{word(r)} unchanged")),
    "pytest": lambda r: f"tests/test_auth.py::test_token_refresh[{word(r)}-{n(r)}] PASSED [{n(r, 100):3}%]",
    "makefile": lambda r: f"cc -O2 -Wall -DTOKEN_MAX={n(r)} -c lexer/token.c -o build/token.o",
    "systemd": lambda r: f"pam_unix(sshd:session): session opened for user {user(r)}(uid={n(r)}) by (uid=0)",
    "config-yaml": lambda r: f"auth:\n  type: oauth2\n  scopes: [read, write]\nserver:\n  port: {n(r)}\n  max_tokens: {n(r)}\n",
    "config-json": lambda r: json.dumps({"auth": {"type": "oauth2", "token_url": "https://a.example.com/token"}, "require_password": True, "retries": n(r)}),
    "empty": lambda r: r.choice(("password=", "token: ", '{"password": "", "token": null}', "Authorization:", "Bearer", "Basic ", "secret=''", "{'password': None}")),
    "markdown": lambda r: f"# Tokens\n\n| token | count |\n|---|---|\n| {word(r)} | {n(r)} |\n\nUse `Authorization` with care.",
    "unicode": lambda r: f"{user(r)} a dépassé son quota — mot de passe oublié ? 你好 {n(r)} ✓ “quotes” …",
    "controls": lambda r: f"line {n(r)}\r\n\tindented\0 null \x1b[31mred\x1b[0m",
    "percent": lambda r: f"/search?q=%C3%A9t%C3%A9%20{n(r)}%26more%3D{n(r)}&lang=fr 100% done",
    "braces": lambda r: "{" * n(r, 9) + word(r) + "}" * n(r, 9) + " [[[ ((( \"'\"'\\\\",
}  # fmt: skip
Fields = Callable[[Random], dict[str, Any]]
FIELDS: dict[str, Fields] = {
    "counts": lambda r: {k: n(r) for k in r.sample(COUNTS, 6)},
    "counts-nested": lambda r: {"response": {"usage": {k: n(r) for k in r.sample(COUNTS, 6)}, "model": r.choice(MODELS)}},
    "counts-float": lambda r: {"tokens_per_second": r.random(), "time_to_first_token": r.random(), "cost_per_token": r.random()},
    "counts-text": lambda r: {"max_tokens": str(n(r)), "tokens": {"prompt": n(r), "completion": n(r), "total": n(r)}},
    "token-number": lambda r: {"token": n(r), "tokens": [n(r), n(r)], "token_ids": [n(r), n(r)], "token_type_ids": [0, 0, 1]},
    "tokenizer": lambda r: {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>",
                            "mask_token": "[MASK]", "sep_token": "[SEP]", "cls_token": "[CLS]", "eos_token_id": n(r)},
    "token-type": lambda r: {"token_type": "bearer", "tokenizer": "cl100k_base", "token_url": "https://a.example.com/token"},
    "rate-limits": lambda r: {"headers": {"x-ratelimit-limit-tokens": str(n(r)), "x-ratelimit-remaining-tokens": str(n(r)),
                                          "x-ratelimit-reset-tokens": f"{n(r)}ms", "anthropic-ratelimit-tokens-reset": when(r),
                                          "anthropic-ratelimit-input-tokens-limit": str(n(r))}},
    "headers": lambda r: {"headers": {"Content-Type": "application/json", "Content-Length": str(n(r)), "X-Request-Id": guid(r),
                                      "ETag": f'"{md5(r)}"', "Vary": "Authorization, Cookie", "User-Agent": f"OpenAI/Python 1.{n(r)}"}},
    "cors": lambda r: {"headers": {"access-control-allow-credentials": "true", "access-control-allow-headers": "authorization, x-api-key",
                                   "access-control-max-age": str(n(r))}},
    "header-pairs": lambda r: {"headers": [(b"content-type", b"text/html"), (b"x-request-id", guid(r).encode()), ("age", str(n(r)))]},
    "name-values": lambda r: {"metrics": [{"name": "latency_ms", "value": n(r)}, {"name": "max_tokens", "value": n(r)}, {"key": "token", "value": n(r)}],
                              "tags": [{"key": "team", "value": word(r)}, {"Key": "Name", "Value": word(r)}], "value": word(r), "key": "setting"},
    "name-values-empty": lambda r: {"fields": [{"name": "password", "value": None}, {"name": "token", "value": ""}, {"key": "api_key", "value": False}],
                                    "form": {"name": "password", "type": "string", "required": True}, "row": ["name", "value"]},
    "values-alone": lambda r: {"metric": {"value": r.random()}, "values": [("value", word(r)), ("value", n(r))], "o": {"value": word(r), "name": word(r)}},
    "pairs": lambda r: {"columns": [("id", "int"), ("name", "text"), ("count", str(n(r)))], "points": [(n(r), n(r))]},
    "correlation": lambda r: {"session_id": draw(r, HEX, 32), "request_id": guid(r), "trace_id": draw(r, HEX, 32), "user_id": n(r)},
    "nothing-in-it": lambda r: {"password": None, "token": "", "secret": False, "api_key": None, "authorization": True, "n": n(r)},
    "questions": lambda r: {"has_password": True, "password_required": False, "use_token": True, "is_secret": False, "n": n(r)},
    "about": lambda r: {"password_length": n(r), "password_changed_at": when(r), "token_expires_at": when(r), "secret_version": n(r),
                        "password_min_length": n(r), "token_expiry": n(r), "session_cookie_age": n(r)},
    "keys": lambda r: {"key": word(r), "primary_key": n(r), "cache_key": f"{word(r)}:{n(r)}", "partition_key": word(r), "sort_key": word(r),
                       "foreign_key": word(r), "object_key": f"a/{md5(r)}.json", "routing_key": f"{word(r)}.made", "public_key": sha256(r)},
    "words": lambda r: {"passed": n(r), "bypass": word(r), "author": user(r), "authority": word(r), "secretary": user(r), "compass": word(r),
                        "tokenized": word(r), "monkey": word(r), "passenger": user(r), "pass_rate": r.random(), "authenticated": True},
    "hashes": lambda r: {"sha": sha1(r), "checksum": sha256(r), "etag": md5(r), "commit": sha1(r), "digest": f"sha256:{sha256(r)}"},
    "ids": lambda r: {"id": f"chatcmpl-{draw(r, ALNUM, 29)}", "order_id": n(r, 10**12), "uuid": uuid.UUID(int=r.getrandbits(128)), "cursor": b64(r)},
    "message": lambda r: {"messages": [{"role": "system", "content": "You count tokens."}, {"role": "user", "content": f"and {n(r)}?"}]},
    "tool": lambda r: {"tool": "search", "parameters": {"query": f"reset password page {n(r)}", "limit": n(r), "max_tokens": n(r)}},
    "settings": lambda r: {"password_policy": {"min_length": n(r), "rotate_days": n(r)}, "cookie_secure": True, "cookie_name": "sid"},
    "values": lambda r: {"t": (1, 2.5, None, True), "s": "é✓", "deep": [[[[{"a": [n(r)]}]]]], "empty": {}, "bytes": b"\xff\0abc"},
    "config": lambda r: {"auth": {"type": "oauth2", "scopes": ["read"], "token_url": "https://a.example.com/t"}, "retries": n(r)},
}  # fmt: skip


def lookalikes(seed: int, each: int = 24) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """`(shape, message, extra)`: each shape `each` times; what is text stands by turns in the message and in `extra`."""
    rng = Random(seed)
    for name, text in TEXTS.items():
        for number in range(each):
            made = text(rng)
            if number % 3 == 0:
                yield name, made, {}
            elif number % 3 == 1:
                yield name, f"{word(rng)}: {made}", {}
            else:
                yield name, word(rng), {"note": made, "nested": [{"inner": made}]}
    for name, fields in FIELDS.items():
        for number in range(each):
            made_fields = fields(rng)
            yield name, word(rng), made_fields if number % 2 else {"nested": [{"inner": made_fields}]}

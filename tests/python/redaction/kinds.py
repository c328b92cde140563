"""Secrets of every kind, each made by its shape: the real alphabet, length and checksum."""

from __future__ import annotations

import base64
import json
import string
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

ALNUM = string.ascii_letters + string.digits
BASE32 = string.ascii_uppercase + "234567"
HEX = "0123456789abcdef"
URLSAFE = ALNUM + "-_"
LOWER = string.ascii_lowercase + string.digits
# What stands unquoted in a line of text without ending there.
PUNCTUATED = ALNUM + "!#$%^*_+.~?/-@"


@dataclass(frozen=True)
class Secret:
    """One secret: what is logged, and the parts of it that nothing may give away."""

    kind: str
    text: str
    parts: tuple[str, ...]


Maker = Callable[[Random], Secret]


def draw(rng: Random, alphabet: str, length: int) -> str:
    return "".join(rng.choices(alphabet, k=length))


def mixed(rng: Random, alphabet: str, length: int) -> str:
    """As `draw`, with digits and letters in it (what no word has), and none but those at its ends."""
    text = list(draw(rng, alphabet, length))
    text[0], text[-1] = (rng.choice([c for c in alphabet if c.isalnum()]) for _ in range(2))
    places = rng.sample(range(1, length - 1), 4)
    for place, wanted in zip(places, (string.digits, string.digits, HEX[10:], string.ascii_uppercase), strict=True):
        allowed = [c for c in wanted if c in alphabet]
        text[place] = rng.choice(allowed) if allowed else text[place]
    return "".join(text)


def base62(number: int, width: int) -> str:
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase
    text = ""
    while number:
        number, digit = divmod(number, 62)
        text = digits[digit] + text
    return text.rjust(width, "0")


def base36(number: int, width: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = (string.digits + string.ascii_lowercase)[digit] + text
    return text.rjust(width, "0")


def token(kind: str, prefix: tuple[str, ...], alphabet: str, *lengths: int) -> Maker:
    """A prefix (in pieces, so that this file holds none) and random characters, of one of the lengths."""

    def make(rng: Random) -> Secret:
        body = mixed(rng, alphabet, rng.choice(lengths))
        return Secret(kind, "".join(prefix) + body, (body,))

    return make


def checked(kind: str, prefix: tuple[str, ...], length: int) -> Maker:
    """Base 62 with a CRC-32 in its last six characters, as GitHub and npm have it."""

    def make(rng: Random) -> Secret:
        body = mixed(rng, ALNUM, length - 6)
        body += base62(zlib.crc32(body.encode()), 6)
        return Secret(kind, "".join(prefix) + body, (body,))

    return make


def openai_old(rng: Random) -> Secret:
    first, last = mixed(rng, ALNUM, 20), mixed(rng, ALNUM, 20)
    return Secret("openai", "sk" + "-" + first + "T3Blbk" + "FJ" + last, (first, last))


def openai_project(rng: Random) -> Secret:
    first, last = mixed(rng, URLSAFE, 74), mixed(rng, URLSAFE, 74)
    scope = rng.choice(("proj", "svcacct", "admin"))
    return Secret(f"openai-{scope}", f"sk-{scope}-" + first + "T3Blbk" + "FJ" + last, (first, last))


def anthropic(rng: Random) -> Secret:
    body = mixed(rng, URLSAFE, 93)
    scope = rng.choice(("api03", "admin01", "oat01", "sid01"))
    return Secret(f"anthropic-{scope}", "sk-" + f"ant-{scope}-" + body + "AA", (body,))


def github_fine(rng: Random) -> Secret:
    first, last = mixed(rng, ALNUM, 22), mixed(rng, ALNUM, 59)
    return Secret("github-fine", "github" + "_pat_" + first + "_" + last, (first, last))


def gitlab_routable(rng: Random) -> Secret:
    body = base64.urlsafe_b64encode(rng.randbytes(39)).decode().rstrip("=")
    text = "glpat" + "-" + body + ".01." + base36(len(body), 2)
    return Secret("gitlab-routable", text + base36(zlib.crc32(text.encode()), 7), (body,))


def slack(rng: Random) -> Secret:
    scope = rng.choice(("b", "p", "a", "r", "s"))
    numbers = "-".join(draw(rng, string.digits, rng.randint(11, 13)) for _ in range(2 if scope == "b" else 3))
    body = mixed(rng, ALNUM if scope == "b" else HEX, 24 if scope == "b" else 32)
    return Secret(f"slack-xox{scope}", "xox" + f"{scope}-{numbers}-" + body, (body,))


def slack_app(rng: Random) -> Secret:
    body = mixed(rng, HEX, 64)
    return Secret("slack-app", "xapp" + f"-1-A{draw(rng, BASE32, 10)}-{draw(rng, string.digits, 13)}-" + body, (body,))


def slack_hook(rng: Random) -> Secret:
    body = mixed(rng, ALNUM, 24)
    place = f"T{draw(rng, BASE32, 10)}/B{draw(rng, BASE32, 10)}/"
    return Secret("slack-webhook", "https://hooks.slack" + ".com/services/" + place + body, (body,))


def discord_hook(rng: Random) -> Secret:
    body = mixed(rng, URLSAFE, 68)
    where = "https://discord" + ".com/api/webhooks/" + draw(rng, string.digits, 19)
    return Secret("discord-webhook", f"{where}/{body}", (body,))


def telegram(rng: Random) -> Secret:
    body = mixed(rng, URLSAFE, 33)
    return Secret("telegram", str(rng.randint(10**8, 10**10)) + ":AA" + body, (body,))


def google_refresh(rng: Random) -> Secret:
    body = mixed(rng, URLSAFE, 61)
    return Secret("google-refresh", "1//" + "0" + rng.choice("3469") + body, (body,))


def stripe(rng: Random) -> Secret:
    scope = rng.choice(("sk", "rk")) + "_" + rng.choice(("live", "test"))
    body = mixed(rng, ALNUM, rng.choice((24, 99)))
    return Secret(f"stripe-{scope}", scope + "_" + body, (body,))


def sendgrid(rng: Random) -> Secret:
    first, last = mixed(rng, URLSAFE, 22), mixed(rng, URLSAFE, 43)
    return Secret("sendgrid", "SG" + "." + first + "." + last, (first, last))


def langsmith(rng: Random) -> Secret:
    first, last = mixed(rng, HEX, 32), draw(rng, HEX, 10)
    return Secret("langsmith", "lsv2" + rng.choice(("_pt_", "_sk_")) + first + "_" + last, (first,))


def langfuse(rng: Random) -> Secret:
    body = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return Secret("langfuse", "sk" + "-lf-" + body, (body,))


def jwt(rng: Random) -> Secret:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    algorithm, size = rng.choice((("HS256", 32), ("RS256", 256), ("ES256", 64), ("EdDSA", 64)))
    claims = {"sub": mixed(rng, ALNUM, 16), "iat": rng.randint(10**9, 2 * 10**9), "jti": draw(rng, HEX, 32)}
    # The first claim's own characters: what stands before them is the same in each.
    payload = part(json.dumps(claims, separators=(",", ":")).encode())
    signature = part(rng.randbytes(size))
    text = ".".join((part(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()), payload, signature))
    return Secret(f"jwt-{algorithm}", text, (payload[12:28], signature))


PEM_LABELS = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "OPENSSH PRIVATE KEY",
              "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK")  # fmt: skip


def pem(label: str) -> Maker:
    def make(rng: Random) -> Secret:
        body = base64.b64encode(rng.randbytes(rng.choice((48, 121, 608)))).decode()
        rows = [body[at : at + 64] for at in range(0, len(body), 64)]
        head = []
        if label == "RSA PRIVATE KEY" and rng.random() < 0.5:
            head = ["Proc-Type: 4,ENCRYPTED", f"DEK-Info: AES-128-CBC,{draw(rng, HEX, 32).upper()}", ""]
        elif label.startswith("PGP"):
            head = ["Version: GnuPG v2", ""]
            rows.append("=" + draw(rng, ALNUM, 4))
        end = rng.choice(("\n", "\n", "\r\n"))
        lines = ["-----BEGIN " + label + "-----", *head, *rows, "-----END " + label + "-----"]
        return Secret("pem-" + label.lower().replace(" ", "-"), end.join(lines), tuple(r for r in rows if len(r) >= 16))

    return make


# What is recognised by its shape alone, wherever it stands.
SHAPES: dict[str, Maker] = {
    "openai": openai_old,
    "openai-project": openai_project,
    "openrouter": token("openrouter", ("sk-", "or-v1-"), HEX, 64),
    "anthropic": anthropic,
    "deepseek": token("deepseek", ("sk", "-"), HEX, 32),
    "github-personal": checked("github-personal", ("gh", "p_"), 36),
    "github-oauth": checked("github-oauth", ("gh", "o_"), 36),
    "github-user": checked("github-user", ("gh", "u_"), 36),
    "github-server": checked("github-server", ("gh", "s_"), 36),
    "github-refresh": checked("github-refresh", ("gh", "r_"), 76),
    "github-fine": github_fine,
    "gitlab": token("gitlab", ("gl", "pat-"), URLSAFE, 20),
    "gitlab-deploy": token("gitlab-deploy", ("gl", "dt-"), URLSAFE, 20),
    "gitlab-runner": token("gitlab-runner", ("gl", "rt-"), URLSAFE, 20),
    "gitlab-trigger": token("gitlab-trigger", ("gl", "ptt-"), HEX, 40),
    "gitlab-routable": gitlab_routable,
    "slack": slack,
    "slack-app": slack_app,
    "slack-webhook": slack_hook,
    "aws-key-id": token("aws-key-id", ("AK", "IA"), BASE32, 16),
    "aws-temporary-id": token("aws-temporary-id", ("AS", "IA"), BASE32, 16),
    "google-api": token("google-api", ("AI", "za"), URLSAFE, 35),
    "google-access": token("google-access", ("ya", "29."), URLSAFE, 120, 180),
    "google-client": token("google-client", ("GOC", "SPX-"), URLSAFE, 28),
    "google-refresh": google_refresh,
    "stripe": stripe,
    "stripe-hook": token("stripe-hook", ("wh", "sec_"), ALNUM, 32),
    "hugging-face": token("hugging-face", ("h", "f_"), string.ascii_letters, 34),
    "jwt": jwt,
    "groq": token("groq", ("gs", "k_"), ALNUM, 52),
    "xai": token("xai", ("xa", "i-"), ALNUM, 80),
    "perplexity": token("perplexity", ("pp", "lx-"), ALNUM, 48),
    "replicate": token("replicate", ("r", "8_"), ALNUM, 37),
    "nvidia": token("nvidia", ("nv", "api-"), URLSAFE, 64),
    "langsmith": langsmith,
    "langfuse": langfuse,
    "npm": checked("npm", ("np", "m_"), 36),
    "pypi": token("pypi", ("py", "pi-", "AgEIcHlwaS5vcmc"), URLSAFE, 85, 150),
    "sendgrid": sendgrid,
    "digitalocean": token("digitalocean", ("do", "p_v1_"), HEX, 64),
    "shopify": token("shopify", ("sh", "pat_"), HEX, 32),
    "databricks": token("databricks", ("da", "pi"), HEX, 32),
    "vault": token("vault", ("hv", "s."), URLSAFE, 95),
    "docker-hub": token("docker-hub", ("dckr", "_pat_"), URLSAFE, 27),
    "telegram": telegram,
    "discord-webhook": discord_hook,
    **{f"pem-{label.lower().replace(' ', '-')}": pem(label) for label in PEM_LABELS},
}


def opaque(kind: str, alphabet: str, *lengths: int) -> Maker:
    """What is a secret only by where it stands."""

    def make(rng: Random) -> Secret:
        body = mixed(rng, alphabet, rng.choice(lengths))
        return Secret(kind, body, (body,))

    return make


def spoken(rng: Random) -> Secret:
    """A passphrase: words, with spaces between."""
    words = " ".join(mixed(rng, string.ascii_lowercase, rng.randint(6, 8)) for _ in range(4))
    return Secret("passphrase", words, (words,))


def awkward(rng: Random) -> Secret:
    """A password of what needs escaping somewhere: quotes, backslashes, other scripts."""
    body = mixed(rng, ALNUM, 14)
    # No bracket: after a quote it reads as the end of what the password stands in.
    odd = "".join(rng.sample(["'", '"', "\\", "ü", "密", "🔑", "<", "&"], 4))
    return Secret("awkward", body[:2] + odd + body[2:], (body[2:],))


def azure(rng: Random) -> Secret:
    body = base64.b64encode(rng.randbytes(64)).decode()
    return Secret("base64-key", body, (body.rstrip("="),))


PLAIN: dict[str, Maker] = {
    "password": opaque("password", PUNCTUATED, 14, 20, 32),
    "hex-key": opaque("hex-key", HEX, 32, 64),
    "urlsafe-token": opaque("urlsafe-token", URLSAFE, 22, 43, 86),
    "short-password": opaque("short-password", LOWER, 12),
    "upper-code": opaque("upper-code", string.ascii_uppercase + string.digits, 16),
    "aws-secret": opaque("aws-secret", ALNUM + "+/", 40),
    "base64-key": azure,
    "uuid-secret": lambda rng: (lambda u: Secret("uuid-secret", u, (u,)))(
        str(uuid.UUID(int=rng.getrandbits(128), version=4))
    ),
}
# Only where something quotes them.
QUOTED: dict[str, Maker] = {"passphrase": spoken, "awkward": awkward}

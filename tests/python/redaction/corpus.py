"""The planted secrets: every kind in every form of text and every place, from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from redaction.carriers import ALONE, BARE, QUOTING, basic, carry, digest, fits, name
from redaction.carriers import HEADERS as HEADER_NAMES
from redaction.kinds import PLAIN, QUOTED, SHAPES, Maker, Secret
from redaction.places import TEXT, Session
from redaction.structures import HEADERS, NAMED

# How often each place is used: enough that kinds and forms meet most of them, few enough that all is logged in a second.
EACH_TEXT, EACH_NAMED, EACH_HEADERS, EACH_APART = 12, 6, 8, 4
# Each of these opens a log.
APART = ("static", "service", "formatter", "formatter-format", "text-log", "text-log-exception")
ONE_LINE = ("exception-syntax", "logger-name", "thread-name", "task-name", "service")


@dataclass(frozen=True)
class Planted:
    """One secret in one place. `parts`: no twelve characters of them in a row may be found anywhere."""

    number: int
    kind: str
    carrier: str
    place: str
    parts: tuple[str, ...]
    shown: str
    log: Callable[[Session], None]

    def __str__(self) -> str:
        return f"#{self.number} {self.kind} as {self.carrier} in {self.place}: {self.shown[:300]!r}"


def _in_turn(rng: Random, of: list[Any]) -> Iterator[Any]:
    """All of them in random order, again and again."""
    while True:
        yield from rng.sample(of, len(of))


def _times(places: dict[str, Any], each: int) -> list[str]:
    return [place for place in places for _ in range(EACH_APART if place in APART else each)]


def _secrets(rng: Random) -> Iterator[tuple[Secret, str]]:
    """Secrets with a form each: every kind and every form in turn."""
    makers: dict[str, Maker] = {**SHAPES, **PLAIN, **QUOTED}
    named = _in_turn(rng, [*QUOTING, *BARE])
    shaped = _in_turn(rng, [*QUOTING, *BARE, *ALONE, *ALONE])
    for kind in _in_turn(rng, [*makers, *PLAIN, *PLAIN]):
        secret = makers[kind](rng)
        carrier = next(c for c in (shaped if kind in SHAPES else named) if fits(secret, c))
        yield secret, carrier


def _header(rng: Random, secret: Secret) -> tuple[str, str, tuple[str, ...]]:
    """A header's name and value that hold the secret."""
    text = secret.text
    form = rng.randrange(8)
    if form == 0:
        return "Authorization", f"Bearer {text}", secret.parts
    if form == 1:
        encoded = basic(rng, text)
        return (
            rng.choice(("authorization", "Proxy-Authorization")),
            f"Basic {encoded}",
            (*secret.parts, encoded.rstrip("=")),
        )
    if form == 2:
        return "AUTHORIZATION", f'{digest(rng)}response="{text}"', secret.parts
    if form == 3:
        return rng.choice(("Cookie", "cookie", "COOKIE")), f"theme=dark; sessionid={text}; lang=en", secret.parts
    if form == 4:
        return rng.choice(("Set-Cookie", "set-cookie")), f"sid={text}; Path=/; HttpOnly", secret.parts
    return rng.choice((str, str.lower, str.upper))(rng.choice(HEADER_NAMES)), text, secret.parts


def corpus(seed: int) -> list[Planted]:
    """All that is planted: the same for the same seed."""
    rng = Random(seed)
    planted: list[Planted] = []

    def plant(
        kind: str, carrier: str, place: str, parts: tuple[str, ...], shown: str, log: Callable[[Session], None]
    ) -> None:
        planted.append(Planted(len(planted), kind, carrier, place, parts, shown, log))

    secrets = _secrets(rng)
    for place in _times(TEXT, EACH_TEXT):
        one_line = "source" in place or place in ONE_LINE
        # A path has no `//`: of a URL in one something else is left.
        fit = ((s, c) for s, c in secrets if not one_line or "\n" not in s.text)
        carried = ((s, c, *carry(rng, s, c)) for s, c in fit)
        secret, carrier, text, parts = next(one for one in carried if place != "extra-path" or "//" not in one[2])
        plant(secret.kind, carrier, f"text:{place}", parts, text, partial(_log_text, place, text))
    kinds = _in_turn(rng, [*PLAIN, *PLAIN, *QUOTED, *SHAPES])
    makers = {**PLAIN, **QUOTED, **SHAPES}
    for place in _times(NAMED, EACH_NAMED):
        secret, under = makers[next(kinds)](rng), name(rng)
        value = rng.choice((secret.text, secret.text, secret.text, secret.text.encode()))
        plant(
            secret.kind,
            f"{under}=",
            f"named:{place}",
            secret.parts,
            repr(value),
            partial(_log_named, place, under, value),
        )
    for place in _times(HEADERS, EACH_HEADERS):
        secret = next(
            s for s in (makers[k](rng) for k in kinds) if s.text.isascii() and not set(s.text) & set("\n;,\"'\\ ")
        )
        under, text, parts = _header(rng, secret)
        if place == "httpx-text" and "authorization" in under.lower():
            under, text, parts = "X-Api-Key", secret.text, secret.parts  # httpx hides the other itself
        plant(secret.kind, f"{under}:", f"header:{place}", parts, text, partial(_log_header, place, under, text))
    return planted


def _log_text(place: str, text: str, session: Session) -> None:
    TEXT[place](session, text)


def _log_named(place: str, under: str, value: Any, session: Session) -> None:
    NAMED[place](session, under, value)


def _log_header(place: str, under: str, text: str, session: Session) -> None:
    HEADERS[place](session, under, text)

"""`redact.apply` and `redact.explain` over every kind of secret in every form of text. req 30 33"""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redaction import SEED
from redaction.carriers import ALONE, BARE, QUOTING, carry, fits
from redaction.corpus import Planted
from redaction.kinds import PLAIN, QUOTED, SHAPES
from redaction.search import Search

from logspool import redact

MAKERS = {**SHAPES, **PLAIN, **QUOTED}


def every_kind_in_every_form(seed: int, times: int = 1) -> list[Planted]:
    """Secrets of each kind in the forms of text that can hold them, as `shown`."""
    rng = Random(seed)
    made: list[Planted] = []
    for kind in [kind for kind in MAKERS for _ in range(times)]:
        for carrier in (*QUOTING, *BARE, *(ALONE if kind in SHAPES else ())):
            secret = MAKERS[kind](rng)
            # Of what is known by its shape a part, another with another seed: each form has some of each.
            if fits(secret, carrier) and (kind not in SHAPES or rng.random() < 0.4):
                text, parts = carry(rng, secret, carrier)
                made.append(Planted(len(made), kind, carrier, "text", parts, text, lambda _: None))
    return made


ALL = every_kind_in_every_form(SEED)


def test_every_kind_goes_in_every_form_of_text() -> None:
    search = Search(ALL)
    leaks = [f"{one}\n    {left!r}" for one in ALL if search.in_bytes((left := redact.apply(one.shown)).encode())]
    assert not leaks, f"{len(leaks)} of {len(ALL)} texts leak\n" + "\n".join(leaks[:60])


def test_what_explain_finds_is_what_apply_takes_out() -> None:
    for one in ALL[::3]:
        findings = redact.explain(one.shown)
        left, at = "", 0
        for finding in findings:
            assert at <= finding.start < finding.end <= len(one.shown), f"{one}: {findings}"
            left += one.shown[at : finding.start] + "***"
            at = finding.end
        assert left + one.shown[at:] == redact.apply(one.shown), f"{one}: {findings}"


def test_what_was_redacted_is_not_redacted_again() -> None:
    """A line that is read and logged once more stays as it is."""
    again = [
        f"{one}\n    {once!r}\n    {twice!r}"
        for one in ALL[1::3]
        if (twice := redact.apply(once := redact.apply(one.shown))) != once
    ]
    assert not again, f"{len(again)} of {len(ALL)}\n" + "\n".join(again[:30])


def test_several_secrets_in_one_text_all_go() -> None:
    rng = Random(SEED)
    leaks = []
    for _ in range(150):
        some = rng.sample(ALL, 4)
        text = rng.choice(("\n", " ; ", " and ", "\r\n\r\n")).join(one.shown for one in some)
        found = Search(some).in_bytes(redact.apply(text).encode())
        leaks += [f"{one} in\n    {text!r}" for one, _ in found.values()]
    assert not leaks, "\n".join(leaks)


def test_a_secret_after_a_long_text_goes() -> None:
    rng = Random(SEED)
    for one in rng.sample(ALL, 40):
        text = "lorem ipsum, dolor=sit: 'amet' " * 2000 + one.shown
        assert not Search([one]).in_bytes(redact.apply(text).encode()), str(one)


around = st.text(alphabet="ab Z09 .,:;=&?!()[]{}<>/|\\\"'`~@#$%^*+-_\n\t\réßж你😀\u200b\u2028", max_size=12)


@settings(max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(number=st.integers(0, len(ALL) - 1), before=around, after=around)
def test_whatever_stands_before_a_line_with_a_secret_or_after_it(number: int, before: str, after: str) -> None:
    """A line's beginning is its own: text before it does not hide a secret; nor does text after it."""
    one = ALL[number]
    text = f"{before}\n{one.shown}\n{after}"
    assert not Search([one]).in_bytes(redact.apply(text).encode()), f"{one} in {text!r}: {redact.apply(text)!r}"


@settings(max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=80) | st.text(alphabet="Bearerpasswodtkni:= '\"{}/@?&%-_gh20sxb.eyJAI", max_size=120))
def test_any_text_at_all_can_be_redacted_and_what_is_found_lies_in_it(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    left = redact.apply(text)
    assert (left == text) == (redact.explain(text) == [])
    for finding in redact.explain(text):
        assert 0 <= finding.start < finding.end <= len(text)

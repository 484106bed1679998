"""Secrets that are written into a program: one warning each, at its place."""

import pytest

from backstay.lang.api import check_text


def integration(*, url: str = 'env("URL")', auth: str = 'bearer(env("T"))') -> str:
    return f"""integration Pay {{
  base_url: {url}
  auth: {auth}
  operation charge {{ method: POST, path: /charges }}
}}
workflow w {{ steps {{ s {{ call: Pay.charge {{ }} }} }} }}
"""


WRITTEN = [
    (integration(auth='bearer(⟦"t0p")'), "token"),
    (integration(auth='bearer { token: ⟦"t0p" }'), "token"),
    (integration(auth='api_key(⟦"sk_live_1")'), "api_key"),
    (integration(auth='api_key(⟦"sk_live_1", "X-Key")'), "api_key"),
    (integration(auth='apikey(⟦"sk_live_1")'), "api_key"),
    (integration(auth='apikey { header: "X-Key", value: ⟦"sk_live_1" }'), "api_key"),
    (integration(auth='basic("shop", ⟦"hunter2")'), "password"),
    (integration(auth='bearer(env("PAY_TOKEN", ⟦"sk_live_1"))'), "PAY_TOKEN"),
    (integration(auth='api_key(env("STRIPE_KEY", ⟦"sk_live_1"), "X-Key")'), "STRIPE_KEY"),
    (integration(url='⟦"https://shop:hunter2@pay.example/v1"'), "base_url"),
    ('config { auth: jwt { secret: env("JWT_SECRET", ⟦"hunter2") } }', "JWT_SECRET"),
    ('config { mail: smtp { password: env("SMTP_PASSWORD", ⟦"hunter2") } }', "SMTP_PASSWORD"),
]

UNSAID = [
    integration(),
    integration(auth='api_key(env("K"), "X-Key")'),
    integration(auth='api_key("X-Key", env("K"))'),
    integration(auth='apikey { header: "X-Key", value: env("K") }'),
    integration(auth='basic("shop", env("P"))'),
    integration(auth='bearer(env("PAY_TOKEN", ""))'),
    integration(url='"https://pay.example/a:b@c"'),
    integration(url='"https://shop@pay.example"'),
    integration(url='env("PAY_URL", "https://pay.example")'),
    'config { auth: jwt { jwks_url: env("JWKS_PUBLIC_KEY", "https://keys.example") } }',
]


@pytest.mark.parametrize(("marked", "name"), WRITTEN)
def test_a_secret_as_plain_text_is_a_warning_at_its_place(marked: str, name: str) -> None:
    before, after = marked.split("⟦")
    program, found = check_text("a.cai", before + after)
    assert program is not None
    (one,) = [each for each in found if each.code == "LANG113"]
    assert (one.severity, one.message) == ("warning", f"'{name}' holds a secret as plain text")
    place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
    assert (one.span.line, one.span.column) == place


@pytest.mark.parametrize("text", UNSAID)
def test_what_is_read_from_outside_is_no_secret_of_the_program(text: str) -> None:
    program, found = check_text("a.cai", text)
    assert program is not None, found
    assert [each for each in found if each.code == "LANG113"] == []

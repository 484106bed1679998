"""Small programs in the language itself, over tables that show what happened and in which order."""

from backstay.lang.api import check_text
from backstay.lang.program import Program

BASE = """
entity Mark {
  id: uuid, primary, auto
  at: int, required
  text: string, required
}

entity Basket {
  id: uuid, primary, auto
  items: list(Item)
}

entity Item {
  id: uuid, primary, auto
  basket: ref(Basket), required
  name: string, required
  amount: int, required
}

integration Payments {
  type: rest
  base_url: env("PAYMENTS_URL")
  timeout: 2s
  operation charge { method: POST, path: "/charges" }
  operation refund { method: POST, path: "/refunds" }
}
"""


def program(text: str) -> Program:
    """The checked program: the tables above, and `text`."""
    made, found = check_text("app.cai", BASE + text)
    assert made is not None, found
    return made


def mark(text: str) -> str:
    """A statement that leaves `text`, numbered by what was there before."""
    return f'create Mark {{ at: count(Mark where at >= 0), text: "{text}" }}'

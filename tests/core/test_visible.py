"""What other people wrote does nothing to the terminal of whoever reads it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from backstay.core.errors import ErrorEntry, Fault, for_terminal
from backstay.core.visible import visible

HOSTILE = "\x1b]0;owned\x07 \x9b31m red\r\u202e\u2028"


def test_what_a_terminal_would_obey_is_shown_as_its_escape():
    assert visible(HOSTILE) == "\\u001b]0;owned\\u0007 \\u009b31m red\\u000d\\u202e\\u2028"
    assert visible("é 漢字 🙂\ttab\nline") == "é 漢字 🙂\ttab\nline"


@given(st.text())
def test_inside_json_it_means_the_same(text):
    line = visible(json.dumps(text, ensure_ascii=False))
    assert json.loads(line) == text
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2028"} & set(line)


def test_an_error_with_such_a_value_is_harmless():
    entry = ErrorEntry("X001", "{what} failed", "because of {what}", "mend {what}")
    told = for_terminal(Fault(entry, what=HOSTILE))
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(told)
    assert told.count("\n") == 3

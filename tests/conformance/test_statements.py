"""The lists are whole, and names of tests are read as they are written."""

from collections import Counter

import pytest
from tests.conformance.statements import ids_in_name, statements, unknown


def test_the_five_lists_hold_246_statements() -> None:
    counted = Counter(statement[0] for statement in statements())
    assert counted == {"Q": 46, "C": 33, "D": 43, "P": 75, "G": 49}


def test_every_statement_says_something() -> None:
    assert all(len(says) > 20 for says in statements().values())


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_Q12_environment_beats_file", ["Q12"]),
        ("test_Q12_Q13_levels", ["Q12", "Q13"]),
        ("test_C24[sqlite]", ["C24"]),
        ("test_P1", ["P1"]),
        ("test_q12_lower_case_is_a_word", []),
        ("test_the_Q12_inside_a_name", []),
        ("test_Q12b_is_no_id", []),
    ],
)
def test_a_name_that_begins_with_ids_claims_them(name: str, ids: list[str]) -> None:
    assert ids_in_name(name) == ids


def test_an_id_that_no_list_has_is_found_out() -> None:
    assert unknown(["Q46", "Q47", "X1"], statements()) == ["Q47", "X1"]

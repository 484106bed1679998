"""The nearest name is the library's, also where the library is not asked."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from backstay.core.nearest import nearest

WORDS = st.text(alphabet="abcD_", max_size=10)


@given(WORDS, st.lists(WORDS, max_size=4))
def test_it_is_the_one_with_the_smallest_distance(name: str, known: list[str]) -> None:
    allowed = 1 if len(name) < 4 else 2 if len(name) < 9 else 3
    distances = {other: OSA.distance(name.lower(), other.lower()) for other in known}
    fitting = {o: d for o, d in distances.items() if d <= allowed and d < len(name)}
    expected = min(fitting, key=lambda other: fitting[other]) if fitting else None
    assert nearest(name, known) == expected


def test_a_word_that_is_near_to_nothing_loads_no_library() -> None:
    code = (
        "import sys; from backstay.core.nearest import nearest\n"
        "assert nearest('statement_cache', ('pool_size', 'timeout')) is None\n"
        "assert 'rapidfuzz' not in sys.modules\n"
        "assert nearest('pool_sise', ('pool_size', 'timeout')) == 'pool_size'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)

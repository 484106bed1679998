"""Text of other people, for a terminal: nothing in it moves the cursor, colours, or hides a word.

What is stored is kept as it came; only what is printed for a person goes through here. JSON is
for programs and has escapes of its own.
"""

import re

# C0 but tab and line feed, DEL, C1 (some terminals obey it in UTF-8, too), line and paragraph
# separators, and what turns the direction of writing.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""`text` with each such character as `\u001b`, which inside a JSON string means the same."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

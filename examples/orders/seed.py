"""Prints the shop's stock and customers as JSON lines: always the same, all of it invented.

2,000 products and 1,000 customers with ids of their own, so that a page of documentation, a test
and a person at a terminal can speak of the same row. Addresses end in `.example`, which RFC 2606
keeps out of the real world.
"""

import json
import random
import sys
from collections.abc import Iterator

PRODUCTS = 2_000
CUSTOMERS = 1_000
SEED = 20_260_301
EPOCH_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z; ids count up from here

MATERIALS = ["Oak", "Walnut", "Linen", "Wool", "Brass", "Steel", "Ceramic", "Glass", "Cork",
             "Bamboo", "Leather", "Cotton", "Slate", "Copper", "Ash", "Felt"]  # fmt: skip
THINGS = [
    ("Desk Lamp", 39, 189), ("Bookshelf", 79, 420), ("Tea Pot", 18, 75), ("Coffee Mug", 7, 24),
    ("Cutting Board", 15, 68), ("Throw Blanket", 29, 140), ("Wall Clock", 25, 120),
    ("Plant Pot", 6, 48), ("Side Table", 59, 260), ("Picture Frame", 9, 55),
    ("Serving Tray", 16, 64), ("Candle Holder", 8, 42), ("Storage Box", 12, 58),
    ("Door Mat", 14, 49), ("Pen Holder", 7, 29), ("Coat Rack", 45, 180),
]  # fmt: skip
SIZES = ["XS", "Small", "Medium", "Large", "XL", "Set of 2", "Set of 4", "Set of 6"]
GIVEN = ["Ada", "Bela", "Cleo", "Dario", "Edda", "Finn", "Greta", "Hana", "Ivo", "Juna", "Kaspar",
         "Lena", "Milo", "Nora", "Otis", "Pia", "Quin", "Rosa", "Sami", "Tilda", "Uma", "Viktor",
         "Wanda", "Xenia", "Yara", "Zeno"]  # fmt: skip
FAMILY_START = ["Alder", "Birn", "Corv", "Drost", "Elm", "Farn", "Grov", "Hollun", "Ilm", "Karst"]
FAMILY_END = ["beck", "dal", "fenn", "gard", "hain", "linde", "mark", "rood", "stead", "wick"]
HOSTS = ["mail.example", "post.example", "letters.example"]


def ids(chance: random.Random) -> Iterator[str]:
    """UUIDs of version 7 on a clock that moves one millisecond each time."""
    millis = EPOCH_MS
    while True:
        millis += 1
        high, low = chance.getrandbits(12), chance.getrandbits(62)
        text = f"{millis << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low:032x}"
        yield "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def products(chance: random.Random, new: Iterator[str]) -> Iterator[dict[str, object]]:
    """Names are unique; one product in forty is sold out, cheap ones lie in larger heaps."""
    every = [
        (material, thing, size) for thing in THINGS for material in MATERIALS for size in SIZES
    ]
    for number, (material, thing, size) in enumerate(chance.sample(every, PRODUCTS), start=1):
        name, low, high = thing
        euros = chance.randint(low, high)
        heap = 400 if euros < 40 else 120
        yield {
            "id": next(new),
            "sku": f"{material[:2].upper()}{name[:2].upper()}-{number:05d}",
            "name": f"{material} {name}, {size}",
            "price": f"{euros}.{chance.choice((0, 50, 90, 95)):02d}",
            "stock": 0 if chance.random() < 1 / 40 else chance.randint(1, heap),
        }


def customers(chance: random.Random, new: Iterator[str]) -> Iterator[dict[str, object]]:
    """Nobody real: family names are put together from syllables."""
    for number in range(1, CUSTOMERS + 1):
        given = chance.choice(GIVEN)
        family = chance.choice(FAMILY_START) + chance.choice(FAMILY_END)
        address = f"{given}.{family}.{number}".lower()
        yield {
            "id": next(new),
            "name": f"{given} {family}",
            "email": f"{address}@{chance.choice(HOSTS)}",
        }


def main() -> None:
    chance = random.Random(SEED)
    new = ids(chance)
    for entity, rows in (("Product", products), ("Customer", customers)):
        for values in rows(chance, new):
            sys.stdout.write(json.dumps({"entity": entity, "values": values}) + "\n")


if __name__ == "__main__":
    main()

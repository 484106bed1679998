"""Circles of a graph, found in work proportional to its nodes and edges."""

from collections.abc import Iterable, Iterator, Mapping


def circles(after: Mapping[str, Iterable[str]]) -> Iterator[frozenset[str]]:
    """The groups of nodes that all lead to each other (strongly connected components, after
    Tarjan), a node that leads to itself among them. `after` gives the nodes that follow each;
    one that is no key has none. Nothing recurses: a chain may be as long as a program."""
    found: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_: list[str] = []
    waiting: set[str] = set()

    def enter(node: str) -> tuple[str, Iterator[str]]:
        found[node] = lowest[node] = len(found)
        open_.append(node)
        waiting.add(node)
        return node, iter(after.get(node, ()))

    for root in after:
        way = [] if root in found else [enter(root)]
        while way:
            node, rest = way[-1]
            following = next(rest, None)
            if following is None:
                way.pop()
                if way:
                    above = way[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                if lowest[node] == found[node]:
                    group = _closed(open_, node)
                    waiting -= group
                    if len(group) > 1 or node in after.get(node, ()):
                        yield group
            elif following not in found:
                way.append(enter(following))
            elif following in waiting:
                lowest[node] = min(lowest[node], found[following])


def _closed(open_: list[str], node: str) -> frozenset[str]:
    """Takes the nodes from `node` on off the open ones."""
    group: set[str] = set()
    while node not in group:
        group.add(open_.pop())
    return frozenset(group)

"""What checking data against a JSON Schema may cost, known from the schema alone.

A schema of a few lines can take longer than the universe has: references that double at each level
of the data, alternatives within alternatives. So each subschema is followed through what it applies
at the same place of the data and one level below, and what one place can cost is summed up for
every depth that data may have. Where only one of several can apply (one property, one kind of
value), the dearest counts.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Final, TypeAlias
from urllib.parse import unquote

from app.domain.json_value import MAX_DEPTH, json_shown
from app.errors import BadUserInput, shown

__all__ = ["LARGEST_PATTERN_KIB", "SchemaCost", "pointer_of"]

Node: TypeAlias = Mapping[str, object]

_SUBSCHEMAS_MAX: Final = 2_000
_IN_PLACE_MAX: Final = 100
"""Subschemas that one place of the data leads through, one inside the other."""
_BOUND: Final = 10**9
"""Beyond it nothing is counted: it is refused long before."""
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_OTHER_REFERENCES: Final = frozenset(
    {"$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"}
)
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_SINGLE: Final = ("not", "if", "then", "else")
_MAPS: Final = ("dependentSchemas", "dependencies")

# In units of the cheapest check of one byte of data, some 12 ns: measured, and rounded up.
_MATCHED: Final = 4
_PATTERN_KIB: Final = 8
"""For each KiB that a pattern takes when it is compiled: all its states may be followed at once."""
LARGEST_PATTERN_KIB: Final = 128
_LIMIT: Final = 20
_MULTIPLE: Final = 200
_FAR: Final = 600
"""Of a number like 1e-300: what it is compared with is brought to as many digits."""
_FAR_DIGITS: Final = 30
_INTEGER: Final = 15
_COMPARED: Final = 40
_COLLECTED: Final = 20


class SchemaCost:
    """The subschemas of a schema, and what they cost."""

    def __init__(self, schema: Node) -> None:
        """Look through the schema; it need not be a correct one.

        Raises:
            BadUserInput: a reference leaves the schema, leads to itself or nowhere, there are more
                than 2,000 subschemas, or another dialect is asked for.
        """
        self._schema = schema
        self._anchors: dict[str, Node] = {}
        self._nodes: dict[int, tuple[Node, str]] = {}
        self._applied: dict[int, list[Node]] = {}
        """For each subschema those that hold for the same place of the data."""
        self.patterns: dict[str, str] = {}
        """The regular expressions, each with the place it stands at."""
        self.pattern_kib: dict[str, int] = {}
        """How large they are when compiled; one that is not here may have `LARGEST_PATTERN_KIB`."""
        self.has_alternatives = False
        """Whether there is an `anyOf` or `oneOf`: an error then holds those of all of them."""
        self._find_anchors()
        self._collect()

    def highest(self, *, weighted: bool = True) -> int:
        """Return what checking one byte of the data may cost at the most, in units of 12 ns.

        Args:
            weighted: False: the number of checks instead, whatever each costs.

        Raises:
            BadUserInput: subschemas apply one another in a circle, or more than 100 in a row.
        """
        weight = self._weight if weighted else len
        # What each subschema costs at the places that are so many levels below its own: none, then
        # one, and so on; of several places, at the one where it is most.
        below: Mapping[int, int] | None = None
        highest = 0
        for _ in range(MAX_DEPTH + 1):
            costs: dict[int, int] = {}
            for node, _place in self._nodes.values():
                self._cost(node, below, costs, weight, [])
            highest = max(highest, costs[id(self._schema)])
            if not any(costs.values()):
                break
            below = costs
        return highest

    def _cost(
        self,
        node: Node,
        below: Mapping[int, int] | None,
        costs: dict[int, int],
        weight: Callable[[Node], int],
        way: list[int],
    ) -> int:
        if (known := costs.get(id(node))) is not None:
            return known
        if id(node) in way or len(way) >= _IN_PLACE_MAX:
            place = self._nodes[id(node)][1]
            what = (
                "is applied recursively without end"
                if id(node) in way
                else ("is applied through too many references")
            )
            raise BadUserInput(
                f"dataSchema at {place} {what}; at most {_IN_PLACE_MAX} nested subschemas may "
                "apply to one place of the data"
            )
        way.append(id(node))
        cost = sum([self._cost(sub, below, costs, weight, way) for sub in self._applied[id(node)]])
        way.pop()
        if "unevaluatedProperties" in node or "unevaluatedItems" in node:
            cost *= 3  # Once more to learn what was evaluated, and once for what was not.
        if below is None:
            cost += weight(node)
        else:
            # A value is no object and list at once.
            cost += max(_of_property(node, below), _of_item(node, below))
        costs[id(node)] = min(cost, _BOUND)
        return costs[id(node)]

    def _find_anchors(self) -> None:
        left: list[object] = [self._schema]
        while left:
            value = left.pop()
            if isinstance(value, dict):
                if isinstance(anchor := value.get("$anchor"), str):
                    self._anchors[anchor] = value
                left.extend(value.values())
            elif isinstance(value, list | tuple):
                left.extend(value)

    def _collect(self) -> None:
        left: list[tuple[Node, str]] = [(self._schema, "")]
        while left:
            node, place = left.pop()
            if id(node) in self._nodes:
                continue
            self._nodes[id(node)] = node, place or "its root"
            if len(self._nodes) > _SUBSCHEMAS_MAX:
                raise BadUserInput(
                    f"dataSchema has too many subschemas; at most {_SUBSCHEMAS_MAX} are allowed"
                )
            self._check(node, place)
            in_place = list(self._in_place(node))
            self._applied[id(node)] = [sub for sub, _ in in_place]
            left += [(sub, place + below) for sub, below in in_place]
            left += [(sub, place + below) for sub, below in _one_below(node)]

    def _check(self, node: Node, place: str) -> None:
        where = place or "its root"
        for keyword in _OTHER_REFERENCES & node.keys():
            raise BadUserInput(f"dataSchema at {where} has {keyword}; use $ref for references")
        if place and "$id" in node:
            raise BadUserInput(f"dataSchema at {where} has $id; $id is only allowed at the root")
        dialect = node.get("$schema", _DIALECT)
        if not isinstance(dialect, str) or dialect.rstrip("#") != _DIALECT:
            raise BadUserInput(
                f"dataSchema at {where} has $schema {json_shown(dialect)}; expected {_DIALECT}"
            )
        self.has_alternatives |= "anyOf" in node or "oneOf" in node
        if isinstance(pattern := node.get("pattern"), str):
            self.patterns.setdefault(pattern, f"{place}/pattern")
        for key in _keys(node, "patternProperties"):
            self.patterns.setdefault(key, f"{place}/patternProperties")

    def _in_place(self, node: Node) -> Iterator[tuple[Node, str]]:
        """Give the subschemas that hold for the same place of the data, and where they stand."""
        if (reference := node.get("$ref")) is not None:
            target = self._target(reference)
            if isinstance(target, dict):
                yield target, "/$ref"
        for keyword in _LISTS:
            yield from _list(node, keyword)
        for keyword in _SINGLE:
            if isinstance(sub := node.get(keyword), dict):
                yield sub, f"/{keyword}"
        for keyword in _MAPS:
            yield from _map(node, keyword)

    def _target(self, reference: object) -> object:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise BadUserInput(
                f"dataSchema has the reference {json_shown(reference)}; only references within "
                "the schema are allowed; they begin with #"
            )
        fragment = unquote(reference[1:])
        target: object = self._schema
        if fragment and not fragment.startswith("/"):
            target = self._anchors.get(fragment)
        elif fragment:
            for part in fragment[1:].split("/"):
                target = _step(target, part.replace("~1", "/").replace("~0", "~"))
        if not isinstance(target, dict | bool):
            raise BadUserInput(
                f"dataSchema has the reference {shown(reference)}, which points to no schema"
            )
        return target

    def _weight(self, node: Node) -> int:
        cost = 1
        kinds = node.get("type")
        if kinds == "integer" or (isinstance(kinds, list) and "integer" in kinds):
            cost += _INTEGER
        for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            cost += _LIMIT * (keyword in node) + _far(node.get(keyword))
        cost += _MULTIPLE * ("multipleOf" in node) + _far(node.get("multipleOf"))
        if isinstance(pattern := node.get("pattern"), str):
            cost += self._matching(pattern)
        # Keys are matched again to find out which are additional.
        cost += 2 * sum(map(self._matching, _keys(node, "patternProperties")))
        for keyword in ("properties", "required", "dependentRequired", "dependentSchemas"):
            cost += len(_keys(node, keyword))
        for keyword in ("uniqueItems", "contains"):
            cost += _COLLECTED * (keyword in node)
        if "const" in node:
            cost += _compared(node["const"])
        if isinstance(options := node.get("enum"), list):
            cost += sum(1 if isinstance(option, str) else _compared(option) for option in options)
        return cost

    def _matching(self, pattern: str) -> int:
        return _MATCHED + _PATTERN_KIB * self.pattern_kib.get(pattern, LARGEST_PATTERN_KIB)


def pointer_of(path: list[str | int]) -> str:
    """Return the JSON pointer (RFC 6901) of a path."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _step(value: object, part: str) -> object:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list | tuple) and part.isdecimal() and int(part[:9]) < len(value):
        return value[int(part[:9])]
    return None


def _one_below(node: Node) -> Iterator[tuple[Node, str]]:
    """Give the subschemas for what is one level below in the data, and where they stand."""
    for keyword in ("properties", "patternProperties"):
        yield from _map(node, keyword)
    yield from _list(node, "prefixItems")
    for keyword in (
        "additionalProperties",
        "propertyNames",
        "unevaluatedProperties",
        "items",
        "contains",
        "unevaluatedItems",
    ):
        if isinstance(sub := node.get(keyword), dict):
            yield sub, f"/{keyword}"


def _of_property(node: Node, below: Mapping[int, int]) -> int:
    named = max((below[id(sub)] for sub, _ in _map(node, "properties")), default=0)
    matching = sum(below[id(sub)] for sub, _ in _map(node, "patternProperties"))
    declared = max(named + matching, _of(node, "additionalProperties", below))
    beside = _of(node, "unevaluatedProperties", below) + _of(node, "propertyNames", below)
    return declared + beside


def _of_item(node: Node, below: Mapping[int, int]) -> int:
    first = max((below[id(sub)] for sub, _ in _list(node, "prefixItems")), default=0)
    declared = max(first, _of(node, "items", below))
    return declared + _of(node, "contains", below) + _of(node, "unevaluatedItems", below)


def _of(node: Node, keyword: str, below: Mapping[int, int]) -> int:
    sub = node.get(keyword)
    return below[id(sub)] if isinstance(sub, dict) else 0


def _list(node: Node, keyword: str) -> Iterator[tuple[Node, str]]:
    subs = node.get(keyword)
    if isinstance(subs, list | tuple):
        for place, sub in enumerate(subs):
            if isinstance(sub, dict):
                yield sub, f"/{keyword}/{place}"


def _map(node: Node, keyword: str) -> Iterator[tuple[Node, str]]:
    subs = node.get(keyword)
    if isinstance(subs, dict):
        for key, sub in subs.items():
            if isinstance(sub, dict):
                yield sub, pointer_of([keyword, key])


def _keys(node: Node, keyword: str) -> tuple[str, ...]:
    named = node.get(keyword)
    if isinstance(named, dict):
        return tuple(named)
    return tuple(one for one in named if isinstance(one, str)) if isinstance(named, list) else ()


def _compared(value: object) -> int:
    """Return what comparing with a value costs: each value inside it, and fractions more."""
    left, cost = [value], 0
    while left:
        one = left.pop()
        cost += 1 if isinstance(one, str) else _COMPARED * (4 if isinstance(one, Decimal) else 1)
        cost += _far(one)
        if isinstance(one, dict):
            left.extend(one.values())
        elif isinstance(one, list | tuple):
            left.extend(one)
    return cost


def _far(value: object) -> int:
    far = isinstance(value, Decimal) and abs(value.adjusted()) > _FAR_DIGITS
    return _FAR if far else 0

"""The index of the rules: it gives what the linear search gives, and looks at few rules."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.core.model import Event, Route
from relay.core.routing import Index, Routed, Unrouted, compile_route, route
from relay.core.routing.index import LONG

Raw = Mapping[str, object]

TEXTS = st.text("ab", max_size=3)
SCALARS = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0, 0.5]) | TEXTS
PREDICATES: st.SearchStrategy[object] = st.recursive(
    st.text("ab*", max_size=4)
    | st.builds(lambda word, text: {word: text}, st.sampled_from(["prefix", "suffix", "glob"]), TEXTS)
    | st.builds(lambda value: {"exact": value}, SCALARS)
    | st.builds(lambda values: {"in": values}, st.lists(SCALARS, min_size=1, max_size=3))
    | st.builds(lambda text, value: {"prefix": text, "exact": value}, TEXTS, SCALARS)
    | st.builds(lambda wanted: {"exists": wanted}, st.booleans()),
    lambda inner: (
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=2))
        | st.builds(lambda part: {"not": part}, inner)
    ),
    max_leaves=4,
)
PATHS = st.sampled_from(["type", "source", "subject", "content.x", "content.x.y", "content.y"])
OUTCOMES = st.sampled_from(
    [
        {"topics": ["t"]},
        {"topics": ["u"], "key": "{content.x}", "continue": True},
        {"topics": ["u", "v.{content.y}"], "continue": True},
        {"drop": True},
    ]
)
RULES = st.lists(st.tuples(st.dictionaries(PATHS, PREDICATES, max_size=2), OUTCOMES), max_size=6)
CONTENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner), max_leaves=5
)
EVENTS = st.builds(
    lambda kind, subject, content: Event("i", "a", kind, subject, None, b"", content),
    TEXTS,
    st.none() | TEXTS,
    CONTENTS,
)


def outcome(event: Event, routes: Sequence[Route]) -> Routed | tuple[str, str]:
    """Search, and give what is found, or the reason and detail of what is not."""
    try:
        return route(event, routes)
    except Unrouted as error:
        return error.reason, error.detail


def rules(*matches: Raw) -> list[Route]:
    """Compile a rule for each match, named by its place."""
    return [compile_route(str(n), {"match": match, "topics": ["t"]}) for n, match in enumerate(matches)]


def event(content: object, kind: str = "A") -> Event:
    """Make an event of which the content matters."""
    return Event("i", "s", kind, None, None, b"", content)


@settings(max_examples=500)
@given(raw=RULES, events=st.lists(EVENTS, min_size=1, max_size=4))
@example(raw=[({"content.x": {"exact": 1}}, {"topics": ["t"]})], events=[event({"x": True}), event({"x": 1.0})])
@example(raw=[({"content.x": "*b*"}, {"topics": ["t"]})], events=[event({"x": "aba"})])
def test_the_index_gives_what_the_linear_search_does(raw: list[tuple[Raw, Raw]], events: list[Event]) -> None:
    """For any rules and events: the same rules matched, topics, keys, drop, or the same fault in the same words."""
    routes = [compile_route(str(n), {"match": match, **given_}) for n, (match, given_) in enumerate(raw)]
    index = Index(routes)
    for one in events:
        assert outcome(one, index.candidates(one)) == outcome(one, routes)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"content.name": "Team #"}, 1),
        ({"type": "A", "content.name": {"in": ["Team #", "Crew #"]}}, 1),
        ({"type": "A*", "content.name": "Team #*"}, 1),
        ({"content.name": {"prefix": "Team #", "suffix": "0"}}, 1),
        ({"content.name": {"any": ["Team #", {"all": ["Crew #", {"suffix": "7"}]}]}}, 1),
        ({"content.name": {"any": ["Team #", {"all": ["Crew #", "Crew #"]}, "*#"]}}, 1000),
        ({"content.name": "*#"}, 1),
        ({"type": "A*", "content.name": "*am #*"}, 1),
        ({"content.name": "*m* #*"}, 1),
        ({"type": "A", "content.name": {"suffix": "#"}}, 1),
        ({"content.name": {"not": "Crew #"}}, 1000),
    ],
)
def test_an_event_is_tested_against_the_rules_it_can_match(match: Raw, expected: int) -> None:
    """Of a thousand rules that ask for values or pieces of texts, only those of the event's value are looked at."""
    numbered = [json.loads(json.dumps(match).replace("#", str(number))) for number in range(1000, 2000)]
    looked_at = Index(rules(*numbered)).candidates(event({"name": "Team 1500"}))
    assert len(looked_at) == expected
    assert "500" in [rule.name for rule in looked_at]


def test_candidates_are_in_the_order_of_the_rules() -> None:
    """However a rule was found, it stands where the configuration has it, and no more than once."""
    index = Index(rules({"type": "*"}, {"type": "A"}, {}, {"content.x": "b*"}, {"type": {"in": ["A", "B"]}}))
    assert [rule.name for rule in index.candidates(event({"x": "bc"}))] == ["0", "1", "2", "3", "4"]
    assert [rule.name for rule in index.candidates(event([], "C"))] == ["0", "2"]


@pytest.mark.parametrize(("name", "expected"), [("abx", "02"), ("xab", "12"), ("xabx", "2"), ("x", "")])
def test_a_text_is_looked_for_where_it_must_stand(name: str, expected: str) -> None:
    """A rule that asks for a beginning or an end is no candidate for a value that has the text elsewhere."""
    index = Index(rules({"content.name": "ab*"}, {"content.name": "*ab"}, {"content.name": "*ab*"}))
    assert "".join(rule.name for rule in index.candidates(event({"name": name}))) == expected


def test_in_a_long_text_no_pieces_are_looked_for() -> None:
    """A rule that asks for a piece is a candidate for every long text, whose pieces would be too many."""
    routes = rules({"content.name": "*needle*"}, {"content.name": "*other*"}, {"content.name": "x"})
    long = event({"name": "x" * 100_000 + "needle" + "x"})
    assert [route.name for route in Index(routes).candidates(long)] == ["0", "1"]
    assert not Index(routes).candidates(event({"name": "x" * LONG}))
    assert outcome(long, Index(routes).candidates(long)) == outcome(long, routes)

"""Rules: what they match, what they give, and what is refused when they are read."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import Reason
from relay.core.model import Event, Route
from relay.core.routing import Routed, RuleError, Unrouted, compile_route, default_key_of, route, unreachable

Raw = Mapping[str, object]

CONTENT = {
    "name": "Contoso Sales",
    "type": "MicrosoftTeams",
    "owner": {"mail": "a@contoso.com", "guest": False, "active": True},
    "size": 1,
    "ratio": 1.0,
    "label": None,
    "tags": ["a"],
    "empty": "",
    "correlationId ": "c",
}
EVENT = Event(
    id="id-1",
    source="contoso",
    type="ProvisioningStarted",
    subject="MicrosoftTeams/Contoso Sales",
    time=None,
    data=b"{}",
    content=CONTENT,
)
BARE = Event(id="id-2", source="contoso", type="Note", subject=None, time=None, data=b'"a"', content="a")
SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 0.5]) | st.text("ab*?1", max_size=3)
)


def rule(**raw: object) -> Route:
    """Compile a rule that gives a topic unless it says something else."""
    return compile_route("rule", {"topics": ["t"], **{key.rstrip("_"): value for key, value in raw.items()}})


def matches(match: Raw, event: Event = EVENT) -> bool:
    """Tell whether a rule with this match takes the event."""
    try:
        return bool(route(event, [rule(match=match)]).matched)
    except Unrouted:
        return False


@pytest.mark.parametrize(
    ("path", "predicate", "expected"),
    [
        ("type", "ProvisioningStarted", True),
        ("type", "provisioningstarted", False),
        ("type", "Provisioning", False),
        ("type", "Provisioning*", True),
        ("type", "*Started", True),
        ("type", "P*v*Started", True),
        ("type", "P*Started*Started", False),
        ("type", "*art*art*", False),
        ("type", "*ing*art*", True),
        ("type", "*art*ing*", False),
        ("type", "*t*a*", True),
        ("type", "*", True),
        ("type", "**", True),
        ("type", "ProvisioningStarted*", True),
        ("type", "*ProvisioningStarted*", True),
        ("type", "ProvisioningStarted*Started", False),
        ("source", "contoso", True),
        ("subject", "MicrosoftTeams/*", True),
        ("subject", "Micro*Sales", True),
        ("content.owner.mail", "*@contoso.com", True),
        ("content.owner.mail", "a*com", True),
        ("content.size", "*", False),
        ("content.empty", "*", True),
        ("content.empty", "", True),
        ("content.nothing", "*", False),
        ("content.nothing.further", {"exists": True}, False),
        ("content.name.further", {"exists": True}, False),
        ("content.tags.0", {"exists": True}, False),
        ("content.correlationId ", "c", True),
        ("content.name", {"exact": "Contoso Sales"}, True),
        ("content.name", {"exact": "Contoso*"}, False),
        ("content.size", {"exact": 1}, True),
        ("content.size", {"exact": 1.0}, True),
        ("content.ratio", {"exact": 1}, True),
        ("content.size", {"exact": True}, False),
        ("content.size", {"exact": "1"}, False),
        ("content.owner.guest", {"exact": False}, True),
        ("content.owner.guest", {"exact": 0}, False),
        ("content.label", {"exact": None}, True),
        ("content.nothing", {"exact": None}, False),
        ("content.tags", {"exact": None}, False),
        ("content.type", {"in": ["M365Group", "MicrosoftTeams"]}, True),
        ("content.size", {"in": ["1", True, None]}, False),
        ("content.tags", {"in": ["a"]}, False),
        ("content.type", {"prefix": "Micro"}, True),
        ("content.type", {"prefix": "micro"}, False),
        ("content.size", {"prefix": ""}, False),
        ("content.type", {"suffix": "Teams"}, True),
        ("content.type", {"suffix": "Team"}, False),
        ("content.type", {"glob": "M*s"}, True),
        ("content.label", {"exists": True}, True),
        ("content.label", {"exists": False}, False),
        ("content.nothing", {"exists": False}, True),
        ("content.type", {"any": ["x", {"prefix": "Micro"}]}, True),
        ("content.type", {"any": ["x", "y"]}, False),
        ("content.type", {"all": ["M*", {"suffix": "Teams"}]}, True),
        ("content.type", {"all": ["M*", "x"]}, False),
        ("content.type", {"prefix": "Micro", "suffix": "x"}, False),
        ("content.type", {"not": "x"}, True),
        ("content.type", {"not": {"in": ["MicrosoftTeams"]}}, False),
        ("content.nothing", {"not": "x"}, True),
    ],
)
def test_a_predicate_holds_as_documented(path: str, predicate: object, expected: bool) -> None:
    """Each predicate on values of each kind: globs are whole and case-sensitive, comparison is by JSON type."""
    assert matches({path: predicate}) is expected


def test_all_paths_of_a_match_must_hold() -> None:
    """A rule takes an event only when every one of its conditions holds; with none, it takes everything."""
    assert matches({"type": "Provisioning*", "content.type": "MicrosoftTeams"})
    assert not matches({"type": "Provisioning*", "content.type": "M365Group"})
    assert matches({})
    assert matches({}, BARE)
    assert not matches({"subject": "*"}, BARE)
    assert matches({"subject": {"exists": False}}, BARE)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_a_glob_is_what_its_definition_says(pattern: str, text: str) -> None:
    """A glob matches exactly when each star can be replaced by some text to give the whole."""

    def defined(glob: str, rest: str) -> bool:
        if not glob:
            return not rest
        if glob[0] == "*":
            return any(defined(glob[1:], rest[at:]) for at in range(len(rest) + 1))
        return rest[:1] == glob[0] and defined(glob[1:], rest[1:])

    event = Event("i", "s", "T", None, None, b"", {"x": text})
    assert matches({"content.x": pattern}, event) is defined(pattern, text)


def test_a_hostile_text_takes_a_glob_linear_time() -> None:
    """Many stars on a long text that nearly matches are answered well inside the test's time."""
    event = Event("i", "s", "T", None, None, b"", {"x": "a" * 1_000_000})
    assert not matches({"content.x": "*a" * 50 + "*b"}, event)
    assert not matches({"content.x": "*a" * 50 + "*b*"}, event)


@given(SCALARS, SCALARS)
def test_equality_is_that_of_json(value: object, operand: object) -> None:
    """`exact` and `in` hold exactly when value and operand are of one JSON type and equal."""
    event = Event("i", "s", "T", None, None, b"", {"x": value})
    equal = value == operand and isinstance(value, bool) is isinstance(operand, bool)
    assert matches({"content.x": {"exact": operand}}, event) is equal
    assert matches({"content.x": {"in": ["other", operand]}}, event) is equal
    assert matches({"content.x": {"not": {"exact": operand}}}, event) is not equal


@pytest.mark.parametrize(
    ("template", "key"),
    [
        (None, "contoso/MicrosoftTeams/Contoso Sales"),
        ("fixed", "fixed"),
        ("{content.name}", "Contoso Sales"),
        ("{content.size}-{content.ratio}-{content.owner.guest}", "1-1.0-false"),
        ("{content.owner.active}", "true"),
        ("{content.nothing}/{content.name}", "/Contoso Sales"),
        ("{content.nothing}{content.tags}{content.label}{content.owner}{content.empty}", "contoso/ProvisioningStarted"),
        ("x-{content.nothing}", "contoso/ProvisioningStarted"),
        ("{type:kebab}", "provisioning-started"),
        ("{content.type:kebab}", "microsoft-teams"),
        ("{source}:{subject}", "contoso:MicrosoftTeams/Contoso Sales"),
    ],
)
def test_a_key_is_filled_from_the_event(template: str | None, key: str) -> None:
    """Values in a key are text; a missing one is empty, and without any of the content it is source and type."""
    raw = {} if template is None else {"key": template}
    assert route(EVENT, [rule(**raw)]).targets == (("t", key),)


def test_a_key_is_never_empty() -> None:
    """Where a template leaves nothing, the key is source and type; also that of a record which no rule gives."""
    assert default_key_of(EVENT) == "contoso/MicrosoftTeams/Contoso Sales"
    assert default_key_of(BARE) == "contoso/Note"
    assert route(BARE, [rule(key="{subject}")]).targets == (("t", "contoso/Note"),)
    assert route(BARE, [rule()]).targets == (("t", "contoso/Note"),)


@pytest.mark.parametrize(
    ("kind", "kebab"),
    [
        ("ProvisioningStarted", "provisioning-started"),
        ("M365GroupCreated", "m365-group-created"),
        ("HTTPServerDown", "http-server-down"),
        ("already-kebab", "already-kebab"),
        ("A", "a"),
    ],
)
def test_kebab_parts_words_at_their_capitals(kind: str, kebab: str) -> None:
    """CamelCase becomes camel-case, with acronyms and digits kept together."""
    event = Event("i", "s", kind, None, None, b"", {})
    assert route(event, [rule(topics=["x.{type:kebab}"])]).targets[0][0] == f"x.{kebab}"


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ("x.{type}", "a b"),
        ("x.{type}", "č"),
        ("x.{type}", "a/b"),
        ("x.{type}", "a" * 248),
        ("x.{type}", "a\n"),
        (".{type}", "."),
        ("x.{content.nothing}", "A"),
        ("x.{subject}", "A"),
    ],
)
def test_a_topic_that_is_not_legal_is_an_outcome_of_its_own(template: str, kind: str) -> None:
    """A name that Kafka would not take, or with a part missing, gives no record at all, and says which rule it was."""
    event = Event("i", "s", kind, None, None, b"", {})
    with pytest.raises(Unrouted) as caught:
        route(event, [rule(continue_=True), compile_route("bad", {"topics": [template]})])
    assert caught.value.reason is Reason.ILLEGAL_TOPIC
    assert "'bad'" in caught.value.detail


def test_the_first_rule_wins_unless_it_continues() -> None:
    """Rules are read in order; the search ends with the first that matches and does not say continue."""
    no = compile_route("no", {"match": {"type": "Other"}, "topics": ["no"]})
    on = compile_route("on", {"topics": ["a", "b"], "key": "1", "continue": True})
    end = compile_route("end", {"topics": ["b", "c"], "key": "2"})
    never = compile_route("never", {"topics": ["d"]})
    assert route(EVENT, [no, on, end, never]) == Routed(("on", "end"), (("a", "1"), ("b", "1"), ("c", "2")))
    assert route(EVENT, [end, on]) == Routed(("end",), (("b", "2"), ("c", "2")))
    assert route(EVENT, [on]) == Routed(("on",), (("a", "1"), ("b", "1")))


def test_a_drop_ends_the_search_and_leaves_what_was_given() -> None:
    """A rule that drops is named as the event's end only when no rule before it gave a record."""
    drop = compile_route("drop", {"match": {"type": "Provisioning*"}, "drop": True})
    on = compile_route("on", {"topics": ["a"], "key": "1", "continue": True})
    end = compile_route("end", {"topics": ["b"], "key": "2"})
    assert route(EVENT, [drop, end]) == Routed(("drop",), (), "drop")
    assert route(EVENT, [on, drop, end]) == Routed(("on", "drop"), (("a", "1"),))
    assert route(BARE, [drop, end]) == Routed(("end",), (("b", "2"),))


def test_what_no_rule_matches_is_unroutable() -> None:
    """Without a rule that matches the outcome has that reason."""
    with pytest.raises(Unrouted) as caught:
        route(EVENT, [rule(match={"type": "Other"})])
    assert (caught.value.reason, caught.value.detail) == (Reason.UNROUTABLE, "no rule matches")


@pytest.mark.parametrize(
    ("raw", "path", "what"),
    [
        ({}, (), "needs topics, or drop: true"),
        ({"topics": []}, (), "needs topics, or drop: true"),
        ({"drop": False}, (), "needs topics, or drop: true"),
        ({"topics": ["t"], "drop": True}, ("topics",), "cannot stand beside drop: what is dropped goes to no topic"),
        ({"drop": True, "key": "k"}, ("key",), "cannot stand beside drop: what is dropped has no record"),
        ({"drop": True, "continue": True}, ("continue",), "cannot stand beside drop: a drop ends the search"),
        ({"topic": ["t"], "drop": True}, ("topic",), "unknown key 'topic': did you mean 'topics'?"),
        ({"topics": "t"}, ("topics",), "must be a list of topics"),
        ({"topics": ["t", "t"]}, ("topics",), "names a topic twice"),
        ({"topics": [1]}, ("topics", 0), "must be a text"),
        ({"topics": [""]}, ("topics", 0), "must not be empty"),
        ({"topics": ["a", "{type}"]}, ("topics", 1), "'{type}' must begin with a literal, as in syskit.{type}"),
        ({"topics": ["a b"]}, ("topics", 0), None),
        ({"topics": ["."]}, ("topics", 0), None),
        ({"topics": [".."]}, ("topics", 0), None),
        ({"topics": ["a" * 250]}, ("topics", 0), None),
        ({"topics": ["a/{type}"]}, ("topics", 0), None),
        ({"topics": ["a\n"]}, ("topics", 0), None),
        ({"topics": ["a.{type"]}, ("topics", 0), "'a.{type' opens a placeholder and does not close it"),
        ({"topics": ["a.{type}x}"]}, ("topics", 0), "'a.{type}x}' closes a placeholder that is not open"),
        ({"topics": ["a.type}"]}, ("topics", 0), "'a.type}' closes a placeholder that is not open"),
        ({"topics": ["a.{tpye}"]}, ("topics", 0), "unknown path 'tpye': did you mean 'type'?"),
        ({"topics": ["a.{}"]}, ("topics", 0), None),
        ({"topics": ["a.{type:kebap}"]}, ("topics", 0), "unknown filter 'kebap': did you mean 'kebab'?"),
        ({"topics": ["t"], "key": ""}, ("key",), "must not be empty"),
        ({"topics": ["t"], "key": 1}, ("key",), "must be a text"),
        ({"topics": ["t"], "key": None}, ("key",), "must be a text"),
        ({"topics": ["t"], "key": "\ud800"}, ("key",), "has half of a surrogate pair, which UTF-8 cannot hold"),
        (
            {"topics": ["t"], "key": "{content}"},
            ("key",),
            "'content' names no member of the content: write content.<name>",
        ),
        (
            {"topics": ["t"], "key": "{id}"},
            ("key",),
            "unknown path 'id': one of type, source, subject, content.<name>",
        ),
        ({"topics": ["t"], "continue": "yes"}, ("continue",), "must be true or false"),
        ({"topics": ["t"], "drop": 1}, ("drop",), "must be true or false"),
        (
            {"topics": ["t"], "match": None},
            ("match",),
            "must be a mapping of paths to predicates; {} matches everything",
        ),
        ({"topics": ["t"], "match": ["type"]}, ("match",), None),
        ({"topics": ["t"], "match": {1: "a"}}, ("match",), None),
        (
            {"topics": ["t"], "match": {"contents.type": "a"}},
            ("match", "contents.type"),
            "unknown path 'contents.type': did you mean 'content.type'?",
        ),
        ({"topics": ["t"], "match": {"content": "a"}}, ("match", "content"), None),
        ({"topics": ["t"], "match": {"content.": "a"}}, ("match", "content."), None),
        ({"topics": ["t"], "match": {"content.a..b": "a"}}, ("match", "content.a..b"), None),
        ({"topics": ["t"], "match": {"type.x": "a"}}, ("match", "type.x"), None),
        (
            {"topics": ["t"], "match": {"type": ["a"]}},
            ("match", "type"),
            "must be a text (a glob) or a mapping of predicates, as in {in: [...]} or {exact: 1}",
        ),
        ({"topics": ["t"], "match": {"type": 1}}, ("match", "type"), None),
        (
            {"topics": ["t"], "match": {"type": {}}},
            ("match", "type"),
            "names no predicate: one of exact, prefix, suffix, glob, in, exists, any, all, not",
        ),
        (
            {"topics": ["t"], "match": {"type": "a?"}},
            ("match", "type"),
            "a glob knows only '*'; for '?' and '[' themselves use exact, prefix or suffix",
        ),
        ({"topics": ["t"], "match": {"type": {"glob": 1}}}, ("match", "type", "glob"), "must be a text"),
        ({"topics": ["t"], "match": {"type": {"glob": "[ab]"}}}, ("match", "type", "glob"), None),
        (
            {"topics": ["t"], "match": {"type": {"perfix": "a"}}},
            ("match", "type", "perfix"),
            "unknown predicate 'perfix': did you mean 'prefix'?",
        ),
        ({"topics": ["t"], "match": {"type": {"prefix": 1}}}, ("match", "type", "prefix"), "must be a text"),
        ({"topics": ["t"], "match": {"type": {"suffix": None}}}, ("match", "type", "suffix"), "must be a text"),
        ({"topics": ["t"], "match": {"type": {"in": "a"}}}, ("match", "type", "in"), None),
        (
            {"topics": ["t"], "match": {"type": {"in": []}}},
            ("match", "type", "in"),
            "must be a list with at least one entry",
        ),
        ({"topics": ["t"], "match": {"type": {"in": ["a", {}]}}}, ("match", "type", "in", 1), None),
        (
            {"topics": ["t"], "match": {"type": {"exact": [1]}}},
            ("match", "type", "exact"),
            "must be a text, a number, true, false or null",
        ),
        ({"topics": ["t"], "match": {"type": {"exact": float("nan")}}}, ("match", "type", "exact"), None),
        ({"topics": ["t"], "match": {"type": {"exists": "no"}}}, ("match", "type", "exists"), "must be true or false"),
        ({"topics": ["t"], "match": {"type": {"any": [{"not": 1}]}}}, ("match", "type", "any", 0, "not"), None),
        ({"topics": ["t"], "match": {"type": {"all": []}}}, ("match", "type", "all"), None),
    ],
)
def test_a_rule_that_cannot_work_is_refused_at_its_place(
    raw: Raw, path: tuple[str | int, ...], what: str | None
) -> None:
    """Each fault of a rule is told with the place inside the rule, and alone."""
    with pytest.raises(RuleError) as caught:
        compile_route("rule", raw)
    fault = caught.value
    assert (fault.path, fault.others) == (path, ())
    assert fault.what == (what or fault.what) == str(fault)


def test_all_faults_of_a_rule_are_told_at_once() -> None:
    """One reading finds every fault of a rule, in the order of the rule's words."""
    raw = {
        "nmae": "x",
        "match": {"tpye": "a", "type": {"in": 1}},
        "topics": ["{type}", "ok", "a b"],
        "key": "{x}",
        "continue": 0,
    }
    with pytest.raises(RuleError) as caught:
        compile_route("rule", raw)
    assert all(fault.others == () for fault in caught.value.others)
    assert [fault.path for fault in (caught.value, *caught.value.others)] == [
        ("nmae",),
        ("match", "tpye"),
        ("match", "type", "in"),
        ("topics", 0),
        ("topics", 2),
        ("key",),
        ("continue",),
    ]


def test_the_literals_of_a_topic_may_fill_a_name() -> None:
    """Literals as long as a name may be are taken, and one character more is not."""
    parts = "a" * 125, "b" * 124
    assert [topic.literal for topic in rule(topics=["{type}".join(parts)]).topics] == [None]
    with pytest.raises(RuleError):
        rule(topics=["{type}".join((*parts, "c"))])


def test_a_template_knows_its_text_and_whether_it_is_literal() -> None:
    """A topic without placeholders is literal, and can be created before any event comes."""
    compiled = rule(topics=["a.b", "a.{type}"], key="k")
    assert [(topic.source, topic.literal) for topic in compiled.topics] == [("a.b", "a.b"), ("a.{type}", None)]
    assert compiled.key is not None
    assert (compiled.key.source, compiled.key.literal) == ("k", "k")
    assert rule().key is None


def named(name: str, raw: Raw) -> Route:
    """Compile a rule to topic t by its name."""
    return compile_route(name, {"topics": ["t"], **raw})


def test_rules_that_nothing_can_reach_are_found() -> None:
    """A rule after one that ends every search, or with the match of an earlier one that ends it, is unreachable."""
    some = {"match": {"type": {"exact": "A"}, "source": "s"}}
    same = {"match": {"source": {"in": ["s"]}, "type": "A"}}
    everything: list[Raw] = [
        {"match": {}},
        {},
        {"match": {"type": "*"}},
        {"match": {"source": {"exists": True}, "type": "**"}},
    ]
    assert unreachable([named("a", some), named("b", {"match": {"type": "A"}}), named("c", {})]) == []
    found = unreachable([named("a", some), named("b", same), named("c", {})])
    assert [index for index, _ in found] == [1]
    assert "'a'" in found[0][1]
    assert unreachable([named("a", {**some, "continue": True}), named("b", same)]) == []
    for match in everything:
        found = unreachable([named("all", match), named("b", some), named("c", {})])
        assert [index for index, _ in found] == [1, 2]
        assert all("'all'" in why for _, why in found)
        assert unreachable([named("all", {**match, "continue": True}), named("b", some)]) == []
    assert unreachable([named("a", {"match": {"subject": "*"}}), named("b", {})]) == []
    assert [index for index, _ in unreachable([compile_route("drop", {"drop": True}), named("b", {})])] == [1]


PREDICATES: st.SearchStrategy[object] = st.recursive(
    st.text("ab*", max_size=4)
    | st.builds(
        lambda word, text: {word: text}, st.sampled_from(["prefix", "suffix", "glob"]), st.text("a*", max_size=3)
    )
    | st.builds(lambda value: {"exact": value}, SCALARS)
    | st.builds(lambda values: {"in": values}, st.lists(SCALARS, min_size=1, max_size=3))
    | st.builds(lambda wanted: {"exists": wanted}, st.booleans()),
    lambda inner: (
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=2))
        | st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=2))
        | st.builds(lambda part: {"not": part}, inner)
    ),
    max_leaves=4,
)
PATHS = st.sampled_from(["type", "source", "subject", "content.x", "content.x.y", "content.y"])
CONTENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner), max_leaves=5
)


@given(path=PATHS, predicate=PREDICATES, content=CONTENTS, kind=st.text(max_size=3))
def test_routing_is_total_and_not_is_negation(path: str, predicate: object, content: object, kind: str) -> None:
    """Any rule on any event answers without an error, and exactly one of a condition and its negation holds."""
    event = Event("i", "s", kind, None, None, b"", content)
    assert matches({path: predicate}, event) is not matches({path: {"not": predicate}}, event)
    assert matches({path: predicate}, event) is matches({path: {"all": [predicate, predicate]}}, event)


@given(raw=st.dictionaries(st.sampled_from(["match", "topics", "key", "continue", "drop", "x"]), CONTENTS | PREDICATES))
def test_any_rule_compiles_or_is_refused(raw: Raw) -> None:
    """Whatever plain values stand in a rule, it compiles or a RuleError says where it is wrong."""
    try:
        compile_route("rule", raw)
    except RuleError as fault:
        assert fault.what  # noqa: PT017 - either outcome is right

"""The explanation of routing: each rule's verdict, and what was expected beside what stood there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.errors import Reason
from relay.core.model import Event, Route
from relay.core.routing import RuleError, Unrouted, compile_route, route
from relay.core.routing.explanation import Condition, Finding, Target, Trial, Verdict, explain
from relay.core.routing.path import MISSING
from relay.core.routing.predicate import compile_predicate
from tests.core.test_routing import CONTENTS, EVENT, PATHS, PREDICATES


def verdicts(findings: tuple[Finding, ...]) -> list[str]:
    """Give the verdicts alone."""
    return [finding.verdict.value for finding in findings]


def condition(path: str, predicate: object) -> Condition:
    """Explain a rule of one condition."""
    (finding,) = explain(EVENT, [compile_route("rule", {"match": {path: predicate}, "topics": ["t"]})])
    (found,) = finding.conditions
    assert (finding.verdict is Verdict.MATCHED) is found.trial.held
    return found


@pytest.mark.parametrize(
    ("path", "predicate", "actual"),
    [
        ("type", "Provisioned", "ProvisioningStarted"),
        ("type", "Provisioned*x*", "ProvisioningStarted"),
        ("type", {"exact": "Provisioned*"}, "ProvisioningStarted"),
        ("content.size", {"exact": True}, 1),
        ("content.label", {"exact": 1}, None),
        ("content.type", {"in": ["M365Group", "Yammer"]}, "MicrosoftTeams"),
        ("content.type", {"prefix": "x"}, "MicrosoftTeams"),
        ("content.type", {"suffix": "x"}, "MicrosoftTeams"),
        ("content.type", {"prefix": "Micro", "suffix": "x"}, "MicrosoftTeams"),
        ("content.label", {"exists": False}, None),
        ("content.nothing", {"exists": True}, MISSING),
        ("content.owner.phone", "*", MISSING),
        ("content.type", {"not": "MicrosoftTeams"}, "MicrosoftTeams"),
    ],
)
def test_a_condition_that_failed_shows_expected_and_actual(path: str, predicate: object, actual: object) -> None:
    """Expected is what the configuration says, actual is what the event has there, be it nothing."""
    found = condition(path, predicate)
    assert (found.path, found.actual, found.trial.expected, found.trial.held) == (path, actual, predicate, False)


def test_within_a_condition_each_part_is_told() -> None:
    """Of any, all and not, nested, each part says whether it held."""
    predicate = {"all": ["*Teams", {"any": [{"not": {"prefix": "Micro"}}, "Yammer"]}]}
    assert condition("content.type", predicate).trial == Trial(
        predicate,
        held=False,
        parts=(
            Trial("*Teams", held=True),
            Trial(
                {"any": [{"not": {"prefix": "Micro"}}, "Yammer"]},
                held=False,
                parts=(
                    Trial({"not": {"prefix": "Micro"}}, held=False, parts=(Trial({"prefix": "Micro"}, held=True),)),
                    Trial("Yammer", held=False),
                ),
            ),
        ),
    )


def test_every_condition_of_a_rule_is_told() -> None:
    """Also those after the first that failed: whoever mends the rule wants to know all of them."""
    match = {"type": "Other", "source": "contoso", "content.name": "x"}
    (finding,) = explain(EVENT, [compile_route("rule", {"match": match, "topics": ["t"]})])
    assert [(one.path, one.trial.held) for one in finding.conditions] == [
        ("type", False),
        ("source", True),
        ("content.name", False),
    ]
    assert finding.targets == ()


def test_rules_after_the_end_of_the_search_are_not_looked_at() -> None:
    """A match without continue, a drop, and a topic that is not legal each end it; nothing is said of the rest."""
    no = compile_route("no", {"match": {"type": "Other"}, "topics": ["no"]})
    on = compile_route("on", {"topics": ["a", "b.{type:kebab}"], "key": "k", "continue": True})
    end = compile_route("end", {"topics": ["c"]})
    drop = compile_route("drop", {"drop": True})
    bad = compile_route("bad", {"topics": ["x.{content.nothing}", "y"], "continue": True})
    assert verdicts(explain(EVENT, [no, on, end, drop])) == ["not_matched", "matched", "matched", "not_looked_at"]
    assert verdicts(explain(EVENT, [on, drop, end])) == ["matched", "matched", "not_looked_at"]
    assert verdicts(explain(EVENT, [bad, end])) == ["matched", "not_looked_at"]
    assert explain(EVENT, [bad])[0].targets == (Target("x.{content.nothing}", None),)
    (first, second) = explain(EVENT, [on, drop])
    assert (first.targets, first.key, first.drop, first.ends) == (
        (Target("a", "a"), Target("b.{type:kebab}", "b.provisioning-started")),
        "k",
        False,
        False,
    )
    assert (second.drop, second.ends) == (True, True)


def test_whatever_a_rule_says_of_an_event_its_conditions_and_its_drop_are_told() -> None:
    """A rule that matched shows its conditions too, and a rule that drops is known as one, also when it does not."""
    passes, fails = {"match": {"type": "Prov*"}}, {"match": {"type": "Other"}}
    keep = compile_route("keep", {**passes, "topics": ["t"]})
    drops = [compile_route("drop", {**match, "drop": True}) for match in (passes, fails)]
    held = Condition("type", "ProvisioningStarted", Trial("Prov*", held=True))
    failed = Condition("type", "ProvisioningStarted", Trial("Other", held=False))
    assert [explain(EVENT, [rule])[0].conditions for rule in (keep, *drops)] == [(held,), (held,), (failed,)]
    told = [*explain(EVENT, [drops[1], keep, drops[0]]), *explain(EVENT, [keep, keep])]
    assert [finding.drop for finding in told] == [True, False, True, False, False]


@given(predicate=PREDICATES)
def test_what_is_expected_is_the_predicate_written_again(predicate: object) -> None:
    """What an explanation says was expected compiles to the very same predicate."""
    try:
        compiled = compile_predicate((), predicate)
    except RuleError:
        return
    assert compile_predicate((), compiled.written) == compiled


TOPICS = st.lists(st.sampled_from(["a", "b", "t.{type}", "t.{content.x}"]), min_size=1, max_size=3, unique=True)
RULES = st.fixed_dictionaries(
    {"match": st.dictionaries(PATHS, PREDICATES, max_size=2)},
    optional={"topics": TOPICS, "key": st.sampled_from(["k", "{content.x}"]), "continue": st.just(value=True)},
).map(lambda raw: raw if "topics" in raw else {"match": raw["match"], "drop": True})


@given(
    raws=st.lists(RULES, max_size=5),
    content=CONTENTS,
    kind=st.sampled_from(["a", "ab", "a b", ""]),
)
def test_the_explanation_and_the_search_agree(raws: list[dict[str, object]], content: object, kind: str) -> None:
    """What the findings add up to is what `route` gives, for any rules and any event."""
    routes: list[Route] = [compile_route(str(index), raw) for index, raw in enumerate(raws)]
    event = Event("i", "s", kind, None, None, b"", content)
    findings = explain(event, routes)
    matched = tuple(finding.rule for finding in findings if finding.verdict is Verdict.MATCHED)
    given_topics: dict[str | None, str | None] = {}
    for finding in findings:
        for target in finding.targets:
            given_topics.setdefault(target.topic, finding.key)
    dropped_by = next((finding.rule for finding in findings if finding.drop and finding.ends), None)
    told = [finding.rule for finding in findings], matched, tuple(given_topics.items()), dropped_by
    names = [rule.name for rule in routes]
    try:
        routed = route(event, routes)
    except Unrouted as outcome:
        illegal = outcome.reason is Reason.ILLEGAL_TOPIC
        assert (told[0], None in given_topics, bool(matched)) == (names, illegal, illegal)
        return
    last = routes[int(routed.matched[-1])]
    assert told == (names, routed.matched, routed.targets, last.name if last.drop else None)

"""Which topics an event goes to, and under which key.

Rules are read in order. The first that matches wins, unless it says `continue`; a rule that drops
ends the search, and what earlier rules gave stays. Everything is compiled when the configuration is
read, so that an event meets no rule that could still be wrong.

    rule        a rule of the configuration -> `Route`, or `RuleError` with the place of the fault
    predicate   the conditions of a rule
    template    the texts with placeholders: topics and keys
    path        the places in an event that both can name
    search      an event and the routes -> `Routed`
    index       of many routes those that an event can match
    explanation the same, told rule by rule
"""

from relay.core.routing.fault import RuleError
from relay.core.routing.index import Index
from relay.core.routing.rule import compile_route, unreachable
from relay.core.routing.search import Routed, Unrouted, default_key_of, route
from relay.core.routing.template import legal_topic

__all__ = [
    "Index",
    "Routed",
    "RuleError",
    "Unrouted",
    "compile_route",
    "default_key_of",
    "legal_topic",
    "route",
    "unreachable",
]

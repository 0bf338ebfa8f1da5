"""Results kept in memory: each message is applied to them, none is read again.

A state is what one part of a result is made of: a count, a page, groups, the aggregate of a
field. `add` applies a message that was stored, `remove` one that is gone; both tell what came
of it. A state knows nothing of filters: it is given the messages that they accept.
"""

from app.domain.results.effect import Effect
from app.domain.results.found import AggregateRow, GroupRow, Page, sum_and_average
from app.domain.results.groups import FoundGroup, KeptGroups
from app.domain.results.page import KeptPage
from app.domain.results.tally import Tally
from app.domain.results.whole import KeptAggregate, KeptCount, State

__all__ = [
    "AggregateRow",
    "Effect",
    "FoundGroup",
    "GroupRow",
    "KeptAggregate",
    "KeptCount",
    "KeptGroups",
    "KeptPage",
    "Page",
    "State",
    "Tally",
    "sum_and_average",
]

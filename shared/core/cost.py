"""What a run cost, in US dollars. Pure. Glue's part is measured; what nobody counts is an estimate, and says so."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from shared.spec.prices import Prices

# plan, commit, report; the transitions of a run without jobs, and of each job.
FUNCTIONS, TRANSITIONS, TRANSITIONS_OF_JOB = 3, 14, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """`glue_usd` is what Glue itself counted; functions, transitions and storage are estimates by `lake/prices.toml`."""

    usd: float
    glue_usd: float
    functions_usd_estimate: float
    transitions_usd_estimate: float
    s3_usd_estimate: float
    dpu_seconds: float
    jobs: int
    prices_as_of: date
    prices_region: str


def cost_of(prices: Prices, *, dpu_seconds: Iterable[float], gates: int, tables: int) -> Cost:
    """`dpu_seconds` of each Glue run; `gates` that spoke; `tables` that were worked on."""
    jobs = list(dpu_seconds)
    glue = sum(jobs) / 3600 * prices.glue_dpu_hour
    functions = (FUNCTIONS + gates) * (prices.estimated_gb_seconds * prices.lambda_gb_second + prices.lambda_request)
    transitions = (TRANSITIONS + TRANSITIONS_OF_JOB * len(jobs)) * prices.states_transition
    storage = tables * (prices.estimated_puts * prices.s3_put + prices.estimated_gets * prices.s3_get)
    return Cost(
        usd=glue + functions + transitions + storage,
        glue_usd=glue,
        functions_usd_estimate=functions,
        transitions_usd_estimate=transitions,
        s3_usd_estimate=storage,
        dpu_seconds=sum(jobs),
        jobs=len(jobs),
        prices_as_of=prices.as_of,
        prices_region=prices.region,
    )

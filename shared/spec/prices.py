"""What AWS charges, as `lake/prices.toml` says it: dated, with its source, for one region."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """US dollars per unit; `estimated_…` are what a run's own documents do not count."""

    as_of: date
    region: str
    source: str
    glue_dpu_hour: float
    lambda_gb_second: float
    lambda_request: float
    states_transition: float
    s3_put: float
    s3_get: float
    estimated_gb_seconds: float  # of one function's call
    estimated_puts: float  # of one table worked on
    estimated_gets: float

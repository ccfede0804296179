"""The treasury's files: a day's exchange rates as CSV, and the bucket of the emulator that they are handed over in."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from local.shop_rows import Rate

BUCKET, FOLDER = "sluice-local-treasury", "fx_rates"


class Treasury:
    """The bucket. A file that is there is never written again: a correction is a file of its own."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3

    def put(self, files: Mapping[str, str]) -> None:
        """Put what is not there yet, by name; doing it again changes nothing."""
        self._s3.create_bucket(Bucket=BUCKET)
        for name in sorted(set(files) - self.names()):
            self._s3.put_object(Bucket=BUCKET, Key=f"{FOLDER}/{name}", Body=files[name].encode())

    def names(self) -> set[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{FOLDER}/")
        return {item["Key"].removeprefix(f"{FOLDER}/") for page in pages for item in page.get("Contents", [])}


def as_csv(rates: Sequence[Rate]) -> str:
    """A header and a line per rate; instants in UTC."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(Rate._fields)
    lines.writerows((*rate[:-1], rate.published_at.isoformat()) for rate in rates)
    return text.getvalue()

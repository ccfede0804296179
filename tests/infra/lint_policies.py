"""Runs in the linter's own environment: policies by name as JSON on standard input, findings as JSON on standard output."""

import json
import sys
import warnings

warnings.simplefilter("ignore")  # of its own imports

from parliament import analyze_policy_string  # noqa: E402

found = [
    {"policy": name, "issue": finding.issue, "detail": str(finding.detail)}
    for name, document in json.load(sys.stdin).items()
    for finding in analyze_policy_string(json.dumps(document)).findings
]
json.dump(found, sys.stdout)

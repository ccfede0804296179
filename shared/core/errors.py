"""Every error Sluice raises itself. The class says what happens next; Step Functions names some of them in Retry and Catch.

SluiceError
├── Retryable               waiting helps
│   ├── SourceUnavailable       a source database did not answer
│   └── StateUnavailable        DynamoDB, S3 or Glue throttled or did not answer
├── DataRejected            halts one table; the rest of the run goes on
│   ├── MissingColumn           the source lacks a required column
│   ├── WidenedColumn           the source declares a wider type than the contract allows
│   ├── ObjectGone              a frozen file is no longer there
│   ├── SnapshotTooSmall        a snapshot holds far fewer rows than are known
│   └── SchemaMismatch          a table on disk does not fit its contract
└── Terminal                stops the run; somebody must look
    ├── ContractError           the contract or lake.json does not hold together
    ├── RequestRefused          a run, or an exception, was asked for that cannot be
    ├── LockHeld                another run holds the lake
    ├── LostRace                a conditional write found something else than what was read
    ├── StaleFence              lock, fence or claim is not (or no longer) this job's
    ├── ClaimRefused            another Glue run claimed this group first
    ├── DeployedMidRun          this code's lake.json is not the one the run pinned
    ├── BadState                tables and state disagree; nothing is written
    ├── EvidenceMissing         a document that must exist does not
    ├── EvidenceInvalid         a document exists and is not what it must be
    └── SecretMissing           a secret, or a field of it, is not there
"""


class SluiceError(Exception):
    """Base of the family."""


class Retryable(SluiceError):
    """Waiting helps."""


class SourceUnavailable(Retryable):
    """A source database did not answer."""


class StateUnavailable(Retryable):
    """An AWS service throttled or did not answer."""


class DataRejected(SluiceError):
    """Halts one table; the rest of the run goes on."""


class MissingColumn(DataRejected):
    """The source lacks a required column."""


class WidenedColumn(DataRejected):
    """The source declares a wider type than the contract allows."""


class ObjectGone(DataRejected):
    """A frozen file is no longer there."""


class SnapshotTooSmall(DataRejected):
    """A snapshot holds far fewer rows than are known."""


class SchemaMismatch(DataRejected):
    """A table on disk does not fit its contract."""


class Terminal(SluiceError):
    """Stops the run; somebody must look."""


class ContractError(Terminal):
    """The contract or lake.json does not hold together."""


class RequestRefused(Terminal):
    """A run, or an exception, was asked for that cannot be."""


class LockHeld(Terminal):
    """Another run holds the lake."""


class LostRace(Terminal):
    """A conditional write found something else than what was read."""


class StaleFence(Terminal):
    """Lock, fence or claim is not, or no longer, this job's."""


class ClaimRefused(Terminal):
    """Another Glue run claimed this group first."""


class DeployedMidRun(Terminal):
    """This code's lake.json is not the one the run pinned."""


class BadState(Terminal):
    """Tables and state disagree; nothing is written."""


class EvidenceMissing(Terminal):
    """A document that must exist does not."""


class EvidenceInvalid(Terminal):
    """A document exists and is not what it must be."""


class SecretMissing(Terminal):
    """A secret, or a field of it, is not there."""

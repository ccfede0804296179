"""Whose credentials these are, and whether CDK can deploy with them here."""

from collections.abc import Iterator

from botocore.exceptions import ClientError, NoCredentialsError, TokenRetrievalError, UnauthorizedSSOTokenError

from cli.doctor_found import Account, Found, Line, NotAllowed, look, ok, warning, wrong
from shared.aws.clients import code_of

QUALIFIER = "hnb659fds"  # CDK's own, as .github/workflows/deploy.yml has it
NEEDED_VERSION = 6  # a rule in every template of CDK refuses less
SAFE_VERSION = 21  # older ones publish code into a bucket of that name whoever owns it
ROLES = ("deploy", "file-publishing", "lookup", "cfn-exec")

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch")
_LOG_IN = "set AWS_PROFILE, or log in with `aws sso login`"


def check_credentials(account: Account) -> Found:
    """Whether they are of the environment's account. Everything else is asked there."""
    environment = account.environment
    try:
        caller = account.ask("sts", "get_caller_identity")
    except NoCredentialsError:
        return wrong("there are no AWS credentials here", _LOG_IN)
    except (TokenRetrievalError, UnauthorizedSSOTokenError) as expired:
        return wrong(f"the login has ended: {expired}", _LOG_IN)
    except ClientError as refused:
        if code_of(refused) not in _EXPIRED:
            raise
        ended = f"AWS does not take these credentials ({code_of(refused)}): they have ended, or {environment.region} is not enabled in their account"
        return wrong(ended, _LOG_IN)
    if caller["Account"] != environment.account:
        return wrong(
            f"{caller['Arn']} is of account {caller['Account']}, environments.{environment.name} of {environment.account}",
            f'{_LOG_IN} of account {environment.account}; or write account = "{caller["Account"]}" into environments.toml',
        )
    return ok(f"{caller['Arn']}, as environments.{environment.name} says")


def bootstrap_lines(account: Account) -> Iterator[Line]:
    yield look("CDK bootstrap", lambda: _version(account))
    yield look("CDK asset bucket", lambda: _bucket(account))
    yield look("CDK roles", lambda: _roles(account))


def deployer_arn(account: Account) -> str:
    """The role that CloudFormation deploys with."""
    return f"arn:aws:iam::{account.environment.account}:role/{_name(account, 'cfn-exec-role')}"


def bootstrap_command(account: Account) -> str:
    return f'make cdk ARGS="bootstrap aws://{account.environment.account}/{account.environment.region}"'


def _version(account: Account) -> Found:
    parameter, command = f"/cdk-bootstrap/{QUALIFIER}/version", bootstrap_command(account)
    try:
        value = account.ask("ssm", "get_parameter", Name=parameter)["Parameter"]["Value"]
    except ClientError as refused:
        if code_of(refused) != "ParameterNotFound":
            raise
        return wrong(f"this account is not bootstrapped in {account.environment.region}: there is no parameter {parameter}", command)
    if not value.isdigit() or int(value) < NEEDED_VERSION:
        return wrong(f"version {value}; templates ask for {NEEDED_VERSION}", command)
    if int(value) < SAFE_VERSION:
        return warning(f"version {value}; before {SAFE_VERSION}, code may be published into another account's bucket", command)
    return ok(f"version {value}")


def _bucket(account: Account) -> Found:
    name = f"{_name(account, 'assets')}"
    try:
        account.ask("s3", "head_bucket", Bucket=name, ExpectedBucketOwner=account.environment.account)
    except ClientError as refused:
        if code_of(refused) == "403":
            raise NotAllowed("s3:ListBucket", f"{name}, or it is another account's") from refused
        if code_of(refused) != "404":
            raise
        region = account.environment.region
        again = f"{bootstrap_command(account)}; where the stack CDKToolkit says it is there: aws cloudformation delete-stack --stack-name CDKToolkit"
        return wrong(f"{name} is not there", f"{again} --region {region}, then bootstrap")
    return ok(name)


def _roles(account: Account) -> Found:
    names = [_name(account, f"{role}-role") for role in ROLES]
    absent = [name for name in names if not account.there(("NoSuchEntity",), "iam", "get_role", RoleName=name)]
    if absent:
        return wrong(f"not there: {', '.join(absent)}", bootstrap_command(account))
    return ok(f"{len(names)} are there")


def _name(account: Account, what: str) -> str:
    return f"cdk-{QUALIFIER}-{what}-{account.environment.account}-{account.environment.region}"

"""An AWS account for `sluice doctor`: moto, with answers of our own where moto has none or a failure is provoked, and a record of what was asked."""

import boto3
from botocore.awsrequest import AWSResponse

ACCOUNT = "123456789012"  # moto's own
REGION = "eu-central-1"
DPUS, RUNS = "L-08F3B322", "L-5E4153CA"
_CLIENTS, _CURRENT = {}, {}  # a client costs tens of milliseconds: it is made once, and asks whichever cloud is current


class Cloud:
    """`answers` by operation: a parsed answer, an error's code, an exception, or a function of the parameters that gives one; None: moto's."""

    def __init__(self):
        _CURRENT["cloud"] = self
        self.asked = []
        self.quotas = {DPUS: 1000.0, RUNS: 200.0}
        self.stacks = {}  # name -> (status, {type: [physical id]})
        self.answers = {
            "DescribeStacks": self._describe_stacks,
            "ListStackResources": self._list_stack_resources,
            "GetLFTag": "EntityNotFoundException",
            "GetServiceQuota": lambda asked: {"Quota": {"Value": self.quotas[asked["QuotaCode"]]}},
        }

    def client(self, service):
        if service not in _CLIENTS:
            client = boto3.client(service, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
            client.meta.events.register("provide-client-params.*", lambda params, model, **_: _CURRENT["cloud"]._record(service, params, model))
            client.meta.events.register("before-call.*", lambda model, **_: _CURRENT["cloud"]._answer(model))
            _CLIENTS[service] = client
        return _CLIENTS[service]

    def deny_all(self, but=()):
        """Every operation but these."""
        self.answers = {**self.answers, "*": lambda operation: None if operation in but else "AccessDeniedException"}

    def _record(self, service, params, model):
        self.asked.append((service, model.name))
        self._parameters = params

    def _answer(self, model):
        every = self.answers.get("*", lambda operation: None)(model.name)
        answer = every or self.answers.get(model.name)
        answer = answer(self._parameters) if callable(answer) else answer
        if answer is None:
            return None
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            error = {"Error": {"Code": answer, "Message": f"{answer}, says AWS"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            return AWSResponse("", 400, {}, None), error
        return AWSResponse("", 200, {}, None), answer

    def _describe_stacks(self, asked):
        if asked["StackName"] not in self.stacks:
            return "ValidationError"
        status, _ = self.stacks[asked["StackName"]]
        return {"Stacks": [{"StackName": asked["StackName"], "StackStatus": status, "EnableTerminationProtection": True}]}

    def _list_stack_resources(self, asked):
        _, resources = self.stacks[asked["StackName"]]
        each = [(kind, physical) for kind, physicals in resources.items() for physical in physicals]
        listed = [{"ResourceType": kind, "PhysicalResourceId": physical, "ResourceStatus": "CREATE_COMPLETE"} for kind, physical in each]
        return {"StackResourceSummaries": listed}


def bootstrapped(cloud, version="28"):
    """As `cdk bootstrap` leaves an account."""
    cloud.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value=version, Type="String", Overwrite=True)
    bucket(cloud, f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}")
    for role in ("deploy", "file-publishing", "lookup", "cfn-exec"):
        create_role(cloud, f"cdk-hnb659fds-{role}-role-{ACCOUNT}-{REGION}")


def create_role(cloud, name):
    return cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]


def bucket(cloud, name):
    cloud.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

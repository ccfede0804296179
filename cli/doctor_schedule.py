"""When runs start, who hears of them, and where ingest works: what an environment says of these, held against what is so."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from botocore.exceptions import ClientError

from cli.doctor_found import Account, Found, Line, look, ok, warning, wrong
from compiler.strikes import strikes_into_a_run
from infra.names import INTERFACES
from shared.aws.clients import code_of
from shared.spec.environment import OPERATOR, Environment, Network, Schedule
from shared.spec.lake import Lake


def schedule_lines(lake: Lake, account: Account, at: datetime) -> Iterator[Line]:
    environment = account.environment
    yield look("schedule", lambda: check_schedule(environment, at))
    yield look("alarms", lambda: check_alarms(lake, environment))
    network = environment.network
    if network is not None:
        yield look("VPC", lambda: _subnet(account, network))
        if network.route_table is not None:
            yield look("VPC endpoints", lambda: _endpoints(account, network))


def check_schedule(environment: Environment, at: datetime) -> Found:
    """The compiler refuses what is no schedule; this tells what it will come to."""
    schedule, place = environment.schedule, f"environments.{environment.name}"
    if schedule is None:
        return ok("none: runs are started by hand")
    told = f"{schedule.expression}, {schedule.time_zone}"
    if not schedule.enabled:
        return warning(f"{told}: deployed, and switched off", f"write enabled = true into {place}.schedule, when runs shall start by themselves")
    if _is_over(schedule, at):
        return warning(f"{told}: that is over, no run will start", f"write another expression into {place}.schedule")
    again = strikes_into_a_run(schedule, environment.sla)
    if again is not None:
        told = f"{told}: strikes again after {again} minutes, while a run may take {environment.sla.run_minutes}"
        return warning(told, f"strike less often, or lower sla.run_minutes of {place} to what a run takes")
    return ok(told)


def check_alarms(lake: Lake, environment: Environment) -> Found:
    deaf = [owner for owner in lake.owners if not environment.alarms.get(owner)]
    if deaf:
        fix = f'write alarms = {{{OPERATOR} = ["you@example.com"], …}} into environments.{environment.name}'
        return warning(f"nobody is told what concerns {', '.join(deaf)}", fix)
    return ok(f"{len(lake.owners)} owners have addresses; each confirms its own by mail after the deployment")


def _is_over(schedule: Schedule, at: datetime) -> bool:
    if not schedule.expression.startswith("at("):
        return False
    moment = datetime.fromisoformat(schedule.expression[3:-1]).replace(tzinfo=ZoneInfo(schedule.time_zone))
    return moment <= at


def _subnet(account: Account, network: Network) -> Found:
    fix = f"mend vpc of environments.{account.environment.name}"
    try:
        subnet = account.ask("ec2", "describe_subnets", SubnetIds=[network.subnet])["Subnets"][0]
        tables = [network.route_table] if network.route_table is not None else []
        for table in account.ask("ec2", "describe_route_tables", RouteTableIds=tables)["RouteTables"] if tables else ():
            if table["VpcId"] != network.vpc:
                return wrong(f"{network.route_table} is of {table['VpcId']}, not of {network.vpc}", fix)
    except ClientError as refused:
        if not code_of(refused).endswith(".NotFound"):
            raise
        return wrong(refused.response["Error"]["Message"], fix)
    if (subnet["VpcId"], subnet["AvailabilityZone"]) != (network.vpc, network.zone):
        return wrong(f"{network.subnet} is of {subnet['VpcId']} in {subnet['AvailabilityZone']}, not of {network.vpc} in {network.zone}", fix)
    return ok(f"{network.subnet} in {network.zone}")


def _endpoints(account: Account, network: Network) -> Found:
    """A second endpoint with private DNS for one service is refused (decisions/0019). Ours are known by their tag."""
    wanted = {f"com.amazonaws.{account.environment.region}.{service}" for service in INTERFACES}
    found = account.pages("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=[{"Name": "vpc-id", "Values": [network.vpc]}])
    taken = sorted(
        one["ServiceName"]
        for one in found
        if one["ServiceName"] in wanted and one.get("PrivateDnsEnabled") and ("environment", account.environment.name) not in _tags(one)
    )
    if taken:
        fix = f"leave route_table out of vpc of environments.{account.environment.name}: it then makes none; they must let its security group in"
        return wrong(f"{network.vpc} has its own already: {', '.join(taken)}", fix)
    return ok("none in the way")


def _tags(endpoint: dict[str, list[dict[str, str]]]) -> set[tuple[str, str]]:
    return {(tag["Key"], tag["Value"]) for tag in endpoint.get("Tags", ())}

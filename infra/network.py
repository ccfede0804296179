"""The ingest job's place in a VPC, where an environment names one: it alone speaks to databases; all else speaks to AWS."""

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.acknowledgements import accept, accept_stars, accept_written
from infra.names import GATEWAYS, INTERFACES, connection_name, stack_name
from infra.settings import cdk_environment
from shared.spec.environment import Environment, Network

_SEEN = ("NetworkInterfaces", "RouteTables", "SecurityGroups", "Subnets", "VpcAttribute", "VpcEndpoints")  # as Glue's own managed policy has it


class NetworkStack(Stack):
    """A security group, the connection that puts a job into the subnet, and, where asked for, endpoints to AWS."""

    def __init__(self, scope: Construct, *, environment: Environment, network: Network) -> None:
        super().__init__(scope, stack_name(environment, "network"), env=cdk_environment(environment), termination_protection=environment.keeps_data)
        self.connection_name = connection_name(environment)
        self._network = network
        self._group = self._workers(environment, network)
        self._connection(network)
        if network.route_table is not None:
            self._endpoints(network, network.route_table)

    def _workers(self, environment: Environment, network: Network) -> ec2.CfnSecurityGroup:
        """Nobody gets in but the job's own workers, which Glue wants to reach each other on every port. They may go out: sources are anywhere."""
        group = ec2.CfnSecurityGroup(
            self,
            "Workers",
            group_description=f"Workers of the ingest job of {environment.prefix}",
            vpc_id=network.vpc,
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(ip_protocol="-1", cidr_ip="0.0.0.0/0", description="to sources and to AWS"),
            ],
        )
        ec2.CfnSecurityGroupIngress(
            self,
            "Selves",
            group_id=group.attr_group_id,
            source_security_group_id=group.attr_group_id,
            ip_protocol="-1",
            description="from each other",
        )
        return group

    def _connection(self, network: Network) -> None:
        placed = glue.CfnConnection.PhysicalConnectionRequirementsProperty(
            availability_zone=network.zone, subnet_id=network.subnet, security_group_id_list=[self._group.attr_group_id]
        )
        connection = glue.CfnConnection(
            self,
            "Place",
            catalog_id=self.account,
            connection_input=glue.CfnConnection.ConnectionInputProperty(
                name=self.connection_name,
                description="Puts the job's workers into the subnet",
                connection_type="NETWORK",
                connection_properties={},
                physical_connection_requirements=placed,
            ),
        )
        accept_written(connection, "W3010", "Glue asks for the zone of the subnet, and the environment names both.")

    def _endpoints(self, network: Network, route_table: str) -> None:
        for service in GATEWAYS:
            ec2.CfnVPCEndpoint(
                self,
                service.title(),
                service_name=self._service(service),
                vpc_id=network.vpc,
                vpc_endpoint_type="Gateway",
                route_table_ids=[route_table],
            )
        for service in INTERFACES:
            ec2.CfnVPCEndpoint(
                self,
                service.title(),
                service_name=self._service(service),
                vpc_id=network.vpc,
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=[network.subnet],
                security_group_ids=[self._group.attr_group_id],
            )

    def _service(self, name: str) -> str:
        return f"com.amazonaws.{self.region}.{name}"

    def let_in(self, role: iam.Role) -> None:
        """Let a job's role join: Glue makes network interfaces in its name, marks them, and takes them away."""
        stack = Stack.of(role)
        connection = [stack.format_arn(service="glue", resource="catalog"), _arn(role, "glue", "connection", self.connection_name)]
        role.add_to_policy(iam.PolicyStatement(sid="ReadConnection", actions=["glue:GetConnection"], resources=connection))
        role.add_to_policy(iam.PolicyStatement(sid="LookAround", actions=[f"ec2:Describe{what}" for what in _SEEN], resources=["*"]))
        accept(role, "AwsSolutions-IAM5[Resource::*]", "ec2:Describe* knows no resources.")
        subnet, interfaces = _arn(role, "ec2", "subnet", self._network.subnet), _arn(role, "ec2", "network-interface", "*")
        group = _arn(role, "ec2", "security-group", self._group.attr_group_id)
        role.add_to_policy(iam.PolicyStatement(sid="Join", actions=["ec2:CreateNetworkInterface"], resources=[interfaces, subnet, group]))
        leave = iam.PolicyStatement(sid="Leave", actions=["ec2:DeleteNetworkInterface"], resources=[interfaces])
        leave.add_condition("ArnEquals", {"ec2:Subnet": subnet})
        mark = iam.PolicyStatement(sid="Mark", actions=["ec2:CreateTags", "ec2:DeleteTags"], resources=[interfaces])
        mark.add_condition("ForAllValues:StringEquals", {"aws:TagKeys": ["aws-glue-service-resource"]})
        mark.add_condition("Null", {"aws:TagKeys": "false"})
        for statement in (leave, mark):
            role.add_to_policy(statement)
        accept_stars(role, [interfaces], "The star is the id of a network interface, which is not known before it is there.")


def _arn(role: iam.Role, service: str, resource: str, name: str) -> str:
    return Stack.of(role).format_arn(service=service, resource=resource, resource_name=name)

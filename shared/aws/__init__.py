"""AWS behind the ports: boto3, one module per port. Never imports pyspark, so that Lambdas stay small."""

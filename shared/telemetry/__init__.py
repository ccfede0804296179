"""What a run tells the outside while it runs. Never imports pyspark."""

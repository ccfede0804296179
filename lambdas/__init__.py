"""Entry points of the Lambda functions: event to message, ports, one step, answer."""

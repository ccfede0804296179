"""A Lambda that fails as it is told, or tells where it runs."""

import importlib.util
import os


class LockHeld(Exception):
    pass


def handler(event, context):
    print(f"asked for {event}")
    if event.get("fail"):
        raise LockHeld("held by another run")
    sees_checkout = importlib.util.find_spec("compiler") is not None
    place = {"function": os.environ["AWS_LAMBDA_FUNCTION_NAME"], "region": os.environ["AWS_REGION"], "arn": context.invoked_function_arn}
    return {**place, "sees_checkout": sees_checkout}

"""A laptop with the retail lake, whose shop has traded for a few days only."""

import contextlib

from local.laptop import Laptop
from tests.flow.lake_reader import Lake

DAYS, ORDERS = 3, 240  # facts lie in a partition a day


@contextlib.contextmanager
def lake_of_few_days(home):
    laptop = Laptop(home, orders=None)
    try:
        laptop.up()
        laptop.shop.fill(days=DAYS, orders=ORDERS)
        yield Lake(laptop)
    finally:
        laptop.remove()

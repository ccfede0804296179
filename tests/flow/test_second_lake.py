"""A lake of another trade runs by its files alone: nothing in code knows a table's name."""

from pathlib import Path

from local.laptop import Laptop
from tests.flow.lake_reader import Lake, assert_balanced

BIKES = Path(__file__).resolve().parents[1] / "lakes" / "bikes"


def test_a_lake_of_another_trade_runs_by_its_files_alone(tmp_path):
    """Three contracts, their SQL and an environment are all it takes."""
    laptop = Laptop(tmp_path / "home", BIKES, orders=None)
    try:
        laptop.up()
        lake = Lake(laptop)
        reader = laptop.status().database.reader
        lake.execute((BIKES / "source.sql").read_text() + f"grant usage on schema fleet to {reader}; grant select on fleet.rides to {reader};")

        run, ended = lake.run()

        assert "SUCCEEDED" == ended.status, ended
        assert_balanced(lake, run)
        assert 3 == len(lake.document(f"_evidence/{run}/ingest/bronze.rides.json")["batches"])
        assert 295 == sum(lake.live("silver.rides").values())
        assert lake.rows("gold.station_days")
    finally:
        laptop.remove()

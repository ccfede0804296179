"""A Glue job's own arguments are read as Glue reads them."""

import pytest

from local.errors import LaptopError
from local.glue_arguments import script_arguments, split_conf, submission


def test_one_conf_holds_many_settings():
    """Glue takes a single `--conf`; further ones ride in its value."""
    assert ("a=1", "b=x=y", "c=-Dk=v -Dl=w") == split_conf("a=1 --conf b=x=y --conf c=-Dk=v -Dl=w")
    assert ("a=un--confirmed",) == split_conf("a=un--confirmed")
    assert () == split_conf("")


def test_a_conf_without_a_value_is_refused_with_how_to_write_it():
    """Spark would take it for the application."""
    with pytest.raises(LaptopError, match="'spark.x' is not key=value; further settings are chained"):
        split_conf("a=1 --conf spark.x")


def test_the_script_gets_all_but_what_glue_takes():
    """Arguments keep their order; one without a value stands alone."""
    given = {
        "--conf": "a=1",
        "--environment": "local",
        "--datalake-formats": "delta",
        "--user-jars-first": "true",
        "--flag": "",
        "--JOB_RUN_ID": "jr_1",
    }

    assert ["--environment", "local", "--flag", "--JOB_RUN_ID", "jr_1"] == script_arguments(given)


def test_jobs_that_differ_only_in_their_run_or_their_python_files_can_share_a_jvm():
    """That is what lets a driver kept ready take the next stage's job, and one of the next deployment."""
    common = {"--conf": "a=1", "--extra-py-files": "s3://b/1.zip, s3://b/2.zip", "--datalake-formats": "delta"}
    redeployed = submission({**common, "--extra-py-files": "s3://b/3.zip"})
    others = [submission({**common, **more}) for more in ({"--conf": "a=2"}, {"--extra-jars": "s3://b/1.jar"}, {"--datalake-formats": ""})]

    assert submission({**common, "--run": "r1"}) == submission({**common, "--run": "r2", "--group": "g"})
    assert submission(common) != redeployed
    assert submission(common).of_the_jvm == redeployed.of_the_jvm
    assert submission(common).of_the_jvm not in [other.of_the_jvm for other in others]
    assert ("s3://b/1.zip", "s3://b/2.zip") == submission(common).py_files


def test_shipped_jars_may_come_first():
    """On the laptop they do so in any case: there is no other version of theirs."""
    shipped = {"--extra-jars": "s3://b/driver.jar"}

    assert submission(shipped) == submission({**shipped, "--user-jars-first": "true"})


def test_what_the_laptop_cannot_do_is_refused():
    """Leaving it out would be a job that works here and fails on AWS, or the other way round."""
    with pytest.raises(LaptopError, match="--additional-python-modules"):
        submission({"--additional-python-modules": "pandas==3"})

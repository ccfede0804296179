SELECT DISTINCT r.station_id, cast(r.started_at AS date) AS ride_date FROM changed.silver.rides AS r

SELECT
  r.station_id,
  cast(r.started_at AS date)                  AS ride_date,
  count(*)                                    AS rides,
  count(DISTINCT r.bike_id)                   AS bikes,
  cast(sum(r.distance_km) AS decimal(12, 3))  AS distance_km
FROM silver.rides AS r
GROUP BY r.station_id, cast(r.started_at AS date)

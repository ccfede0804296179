-- The operator's database: 300 rides of 20 days in March 2025, at 6 stations, every value computed from the row's number.
CREATE SCHEMA IF NOT EXISTS fleet;

CREATE TABLE fleet.rides (
  ride_id     bigint,
  station_id  text,
  bike_id     text,
  rider_email text,
  distance_km numeric(8,3),
  voided      boolean,
  started_at  timestamptz,
  reported_at timestamptz
);

INSERT INTO fleet.rides
SELECT
  n,
  'S' || lpad((n % 6)::text, 2, '0'),
  'B' || lpad((n * 7 % 41)::text, 3, '0'),
  CASE WHEN n % 10 > 0 THEN 'rider' || n % 50 || '@example.com' END,
  (n * 13 % 9000) / 1000.0,
  n % 60 = 0,
  timestamptz '2025-03-01 06:00:00+00' + n * interval '95 minutes',
  timestamptz '2025-03-01 06:00:00+00' + n * interval '95 minutes' + interval '20 minutes'
FROM generate_series(1, 300) AS n;

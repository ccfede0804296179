-- A fixed range: a calendar that ends "today" would be another table every day.
SELECT
  cast(date_format(d.date, 'yyyyMMdd') AS int) AS date_sk,
  d.date,
  cast(year(d.date) AS int)                    AS year,
  cast(quarter(d.date) AS int)                 AS quarter,
  cast(month(d.date) AS int)                   AS month,
  cast(day(d.date) AS int)                     AS day,
  cast(weekday(d.date) + 1 AS int)             AS day_of_week,
  weekday(d.date) >= 5                         AS is_weekend
FROM (SELECT explode(sequence(DATE'2020-01-01', DATE'2039-12-31', INTERVAL 1 DAY)) AS date) AS d

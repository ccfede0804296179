SELECT
  a.event_id,
  coalesce(c.customer_sk, 0)                         AS customer_sk,
  cast(date_format(a.event_date, 'yyyyMMdd') AS int) AS date_sk,
  a.event_date,
  a.event_type,
  a.orders_so_far
FROM silver.customer_activity AS a
-- the customer as they were then
LEFT JOIN gold.dim_customer AS c
  ON c.customer_id = a.customer_id
 AND a.occurred_at >= c.valid_from
 AND (a.occurred_at < c.valid_to OR c.valid_to IS NULL)

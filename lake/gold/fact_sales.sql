WITH rates AS (
  -- each rate until the next one, for 7 days at most
  SELECT
    f.currency,
    f.rate_to_usd,
    f.rate_date,
    least(lead(f.rate_date) OVER (PARTITION BY f.currency ORDER BY f.rate_date), date_add(f.rate_date, 8)) AS until
  FROM silver.fx_rates AS f
)
SELECT
  o.order_id,
  coalesce(c.customer_sk, 0)                         AS customer_sk,
  coalesce(p.product_sk, 0)                          AS product_sk,
  cast(date_format(o.order_date, 'yyyyMMdd') AS int) AS date_sk,
  o.order_date,
  o.quantity,
  cast(o.amount * r.rate_to_usd AS decimal(18, 2))   AS amount_usd
FROM silver.orders AS o
-- the customer as they were when they ordered
LEFT JOIN gold.dim_customer AS c
  ON c.customer_id = o.customer_id
 AND o.ordered_at >= c.valid_from
 AND (o.ordered_at < c.valid_to OR c.valid_to IS NULL)
LEFT JOIN gold.dim_product AS p ON p.product_id = o.product_id
LEFT JOIN rates AS r
  ON r.currency = o.currency
 AND o.order_date >= r.rate_date
 AND o.order_date < r.until

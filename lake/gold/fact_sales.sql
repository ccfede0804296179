WITH rates AS (
  -- the day's rate, or the last one within the 7 days before
  SELECT o.order_id, max_by(f.rate_to_usd, f.rate_date) AS rate_to_usd
  FROM silver.orders AS o
  JOIN silver.fx_rates AS f
    ON f.currency = o.currency AND f.rate_date BETWEEN date_sub(o.order_date, 7) AND o.order_date
  GROUP BY o.order_id
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
LEFT JOIN rates AS r ON r.order_id = o.order_id

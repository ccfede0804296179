WITH changes AS (
  -- each change until the next; of several at one time the last in this order counts, a delete after all others
  SELECT
    c.customer_id,
    c.country,
    c.tier,
    c.is_deleted,
    c.updated_at AS valid_from,
    lead(c.updated_at) OVER (PARTITION BY c.customer_id ORDER BY c.updated_at, c.is_deleted, c.country, c.tier) AS valid_to
  FROM silver.customer_changes AS c
),
states AS (
  -- what a customer was; the first state stands for the time before it too, as in gold.dim_customer
  SELECT
    c.customer_id,
    c.country,
    c.tier,
    c.valid_from,
    c.valid_to,
    row_number() OVER (PARTITION BY c.customer_id ORDER BY c.valid_from) AS number
  FROM changes AS c
  WHERE NOT c.is_deleted AND (c.valid_from < c.valid_to OR c.valid_to IS NULL)
),
bought AS (
  -- what a customer had ordered, from each order until the next
  SELECT
    o.customer_id,
    o.ordered_at,
    lead(o.ordered_at) OVER (PARTITION BY o.customer_id ORDER BY o.ordered_at, o.order_id) AS next_ordered_at,
    row_number() OVER (PARTITION BY o.customer_id ORDER BY o.ordered_at, o.order_id) AS orders
  FROM silver.orders AS o
)
SELECT
  b.event_id,
  b.customer_id,
  b.event_type,
  b.product_id,
  s.country,
  s.tier,
  cast(coalesce(o.orders, 0) AS bigint) AS orders_so_far,
  o.ordered_at AS last_ordered_at,
  b.occurred_at,
  b.event_date
FROM silver.customer_behavior AS b
LEFT JOIN states AS s
  ON s.customer_id = b.customer_id
 AND (b.occurred_at >= s.valid_from OR s.number = 1)
 AND (b.occurred_at < s.valid_to OR s.valid_to IS NULL)
LEFT JOIN bought AS o
  ON o.customer_id = b.customer_id
 AND b.occurred_at >= o.ordered_at
 AND (b.occurred_at < o.next_ordered_at OR o.next_ordered_at IS NULL)

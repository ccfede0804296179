SELECT o.order_id FROM changed.silver.orders AS o
UNION
SELECT o.order_id FROM silver.orders AS o JOIN changed.gold.dim_customer AS c ON c.customer_id = o.customer_id
UNION
SELECT o.order_id FROM silver.orders AS o JOIN changed.gold.dim_product AS p ON p.product_id = o.product_id
UNION
SELECT o.order_id FROM silver.orders AS o
JOIN changed.silver.fx_rates AS f
  ON f.currency = o.currency AND f.rate_date BETWEEN date_sub(o.order_date, 7) AND o.order_date

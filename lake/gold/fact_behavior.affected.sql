SELECT a.event_id FROM changed.silver.customer_activity AS a
UNION
SELECT a.event_id FROM silver.customer_activity AS a JOIN changed.gold.dim_customer AS c ON c.customer_id = a.customer_id

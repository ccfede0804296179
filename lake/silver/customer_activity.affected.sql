SELECT b.event_id FROM changed.silver.customer_behavior AS b
UNION
SELECT b.event_id FROM silver.customer_behavior AS b JOIN changed.silver.customer_changes AS c ON c.customer_id = b.customer_id
UNION
SELECT b.event_id FROM silver.customer_behavior AS b
JOIN changed.silver.orders AS o ON o.customer_id = b.customer_id AND o.ordered_at <= b.occurred_at

SELECT xxhash64(p.product_id) AS product_sk, p.product_id, p.title, p.category, p.price, p.currency
FROM silver.products AS p
UNION ALL
-- the unknown member: facts of products that are not, or no longer, there point at it
SELECT cast(0 AS bigint), 'unknown', 'Unknown product', 'unknown', cast(NULL AS decimal(12, 2)), cast(NULL AS string)

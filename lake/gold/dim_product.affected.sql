SELECT xxhash64(p.product_id) AS product_sk FROM changed.silver.products AS p

-- Which categories earned most?
select p.category, count(*) as orders, round(sum(f.amount_usd), 2) as usd
from gold.fact_sales as f
join gold.dim_product as p on p.product_sk = f.product_sk
group by p.category
order by usd desc
limit 5;

-- How did the last days go?
select d.date, count(*) as orders, round(sum(f.amount_usd), 2) as usd
from gold.fact_sales as f
join gold.dim_date as d on d.date_sk = f.date_sk
group by d.date
order by d.date desc
limit 5;

-- Do weekends differ?
select d.is_weekend, count(distinct d.date) as days, round(count(*) / count(distinct d.date), 1) as orders_a_day, round(avg(f.amount_usd), 2) as usd_an_order
from gold.fact_sales as f
join gold.dim_date as d on d.date_sk = f.date_sk
group by d.is_weekend
order by d.is_weekend;

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

-- Which tier were customers in when they ordered?
select c.tier, count(*) as orders, count(distinct c.customer_id) as customers, round(sum(f.amount_usd), 2) as usd
from gold.fact_sales as f
join gold.dim_customer as c on c.customer_sk = f.customer_sk
group by c.tier
order by usd desc;

-- What do customers do in the web shop, by how often they had ordered before?
select least(f.orders_so_far, 3) as orders_before, count(*) as events,
  count(*) filter (where f.event_type = 'add_to_cart') as added_to_cart, count(distinct c.customer_id) as customers
from gold.fact_behavior as f
join gold.dim_customer as c on c.customer_sk = f.customer_sk
group by orders_before
order by orders_before;

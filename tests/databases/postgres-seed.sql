-- Fills the empty tables with as many rows as psql's variables say. Ids are as random as PocketBase's, yet always the
-- same; what was completed today is spread between 00:00 UTC and now, what was before that over 30 days.
\set midnight 'date_trunc(''day'', now() AT TIME ZONE ''UTC'') AT TIME ZONE ''UTC'''
BEGIN;

-- Tables that are emptied in the transaction that fills them need no log, and keys are built fastest at the end.
TRUNCATE products, branches, skus, orders, customers, staging;
ALTER TABLE skus DROP CONSTRAINT skus_pkey;
ALTER TABLE orders DROP CONSTRAINT orders_pkey;
ALTER TABLE staging DROP CONSTRAINT staging_pkey;

INSERT INTO products SELECT left(md5(n::text), 15), 'Product ' || n FROM generate_series(1, :products) n;
INSERT INTO branches SELECT left(md5(n::text), 15), 'Branch ' || n FROM generate_series(1, :branches) n;
INSERT INTO skus SELECT left(md5(n::text), 15), 'SKU ' || n FROM generate_series(1, :skus) n;
INSERT INTO customers SELECT left(md5(n::text), 15), 'Customer ' || n FROM generate_series(1, :customers) n;
INSERT INTO orders
SELECT left(md5(n::text), 15), 'Order ' || n, (n % 50000) / 100.0, (ARRAY['north', 'east', 'south', 'west'])[n % 4 + 1]
FROM generate_series(1, :orders) n;

INSERT INTO staging SELECT 'pending-' || n, 'pending', NULL FROM generate_series(1, :pending) n;
INSERT INTO staging SELECT 'processing-' || n, 'processing', NULL FROM generate_series(1, :processing) n;
INSERT INTO staging
SELECT 'completed-' || n, 'completed', :midnight + (now() - (:midnight)) * ((n - 1)::float / :completed)
FROM generate_series(1, :completed) n;
INSERT INTO staging
SELECT 'earlier-' || n, 'completed', :midnight - (n % 2592000 + 1) * interval '1 second'
FROM generate_series(1, :completed_earlier) n;

ALTER TABLE skus ADD PRIMARY KEY (id);
ALTER TABLE orders ADD PRIMARY KEY (id);
ALTER TABLE staging ADD PRIMARY KEY (id);

COMMIT;

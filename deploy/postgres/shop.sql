-- A small shop for the stack's PostgreSQL, and the role the bridge reads it with. The role has no password because this
-- server trusts the stack's own network; for a real one see deploy/sql/postgres-role.sql.
CREATE TABLE products (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE branches (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE skus (id bigint PRIMARY KEY, product bigint NOT NULL REFERENCES products, branch bigint NOT NULL REFERENCES branches);
CREATE TABLE orders (id bigint PRIMARY KEY, total numeric NOT NULL);
CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE staging (id bigint PRIMARY KEY, status text NOT NULL, completed timestamptz);
CREATE INDEX staging_open ON staging (status) WHERE status IN ('pending', 'processing');
CREATE INDEX staging_completed ON staging (completed) WHERE status = 'completed';

INSERT INTO products SELECT n, 'product ' || n FROM generate_series(1, 1500) n;
INSERT INTO branches SELECT n, 'branch ' || n FROM generate_series(1, 25) n;
INSERT INTO skus SELECT n, 1 + n % 1500, 1 + n % 25 FROM generate_series(1, 37500) n;
INSERT INTO orders SELECT n, n FROM generate_series(1, 5000) n;
INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(1, 1200) n;
INSERT INTO staging SELECT n, 'completed', now() - n * interval '1 minute' FROM generate_series(1, 3000) n;
INSERT INTO staging SELECT n, 'pending', NULL FROM generate_series(3001, 3045) n;
INSERT INTO staging SELECT n, 'processing', NULL FROM generate_series(3046, 3057) n;

CREATE ROLE linkit_bridge LOGIN CONNECTION LIMIT 5;
ALTER ROLE linkit_bridge SET default_transaction_read_only = on;
ALTER ROLE linkit_bridge SET statement_timeout = '10s';
ALTER ROLE linkit_bridge SET lock_timeout = '1s';
GRANT SELECT ON products, branches, skus, orders, customers, staging TO linkit_bridge;

ANALYZE;

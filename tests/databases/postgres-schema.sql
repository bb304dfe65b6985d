-- The shop's tables in PostgreSQL.
CREATE TABLE products (id text PRIMARY KEY, name text NOT NULL);
CREATE TABLE branches (id text PRIMARY KEY, name text NOT NULL);
CREATE TABLE skus (id text PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (id text PRIMARY KEY, name text NOT NULL, total numeric NOT NULL, region text NOT NULL);
CREATE TABLE customers (id text PRIMARY KEY, name text NOT NULL);
CREATE TABLE staging (id text PRIMARY KEY, status text NOT NULL, completed timestamptz);

-- What the three figures of the queue are counted by: the first holds only the few open rows.
CREATE INDEX staging_open ON staging (status) WHERE status IN ('pending', 'processing');
CREATE INDEX staging_completed ON staging (completed) WHERE status = 'completed';

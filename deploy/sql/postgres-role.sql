-- The role that the bridge reads PostgreSQL with: it may read these tables and nothing else. As an administrator, with
-- the password in a file:
--
--   psql -d linkit -v ON_ERROR_STOP=1 -v password="$(cat secrets/database_password)" -f deploy/sql/postgres-role.sql
--
-- Name the tables that are to be counted. On PostgreSQL 14 and older everybody may create tables in the schema public;
-- where nobody relies on it: REVOKE CREATE ON SCHEMA public FROM PUBLIC. In the same way everybody may create temporary
-- tables: REVOKE TEMPORARY ON DATABASE linkit FROM PUBLIC.
BEGIN;

CREATE ROLE bridge LOGIN PASSWORD :'password' CONNECTION LIMIT 5;

-- Belt and braces: the grants below allow no write either, and the bridge has budgets of its own.
ALTER ROLE bridge SET default_transaction_read_only = on;
ALTER ROLE bridge SET statement_timeout = '10s';
ALTER ROLE bridge SET lock_timeout = '1s';

GRANT CONNECT ON DATABASE :"DBNAME" TO bridge;
GRANT USAGE ON SCHEMA public TO bridge;
GRANT SELECT ON products, branches, skus, orders, customers, staging TO bridge;

COMMIT;

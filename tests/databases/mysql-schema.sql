-- The shop's tables in MySQL or MariaDB.
CREATE TABLE products (id varchar(15) CHARACTER SET ascii PRIMARY KEY, name text NOT NULL);
CREATE TABLE branches (id varchar(15) CHARACTER SET ascii PRIMARY KEY, name text NOT NULL);
CREATE TABLE skus (id varchar(15) CHARACTER SET ascii PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (
    id varchar(15) CHARACTER SET ascii PRIMARY KEY,
    name text NOT NULL,
    total decimal(12, 2) NOT NULL,
    region varchar(20) NOT NULL
);
CREATE TABLE customers (id varchar(15) CHARACTER SET ascii PRIMARY KEY, name text NOT NULL);

-- The index is what all three figures of the queue are counted by.
CREATE TABLE staging (
    id varchar(30) CHARACTER SET ascii PRIMARY KEY,
    status varchar(20) CHARACTER SET ascii NOT NULL,
    completed datetime(3),
    INDEX staging_status_completed (status, completed)
);

-- Fills the empty tables with as many rows as the session's variables say, by MariaDB's engine of sequences. Ids are as
-- random as PocketBase's, yet always the same; what was completed today is spread between 00:00 UTC and now, what was
-- before that over 30 days.

-- Together these two let InnoDB build an empty table's indexes in bulk.
SET unique_checks = 0, foreign_key_checks = 0;

INSERT INTO products SELECT left(md5(seq), 15), concat('Product ', seq) FROM seq_1_to_100000000 WHERE seq <= @products;
INSERT INTO branches SELECT left(md5(seq), 15), concat('Branch ', seq) FROM seq_1_to_100000000 WHERE seq <= @branches;
INSERT INTO skus SELECT left(md5(seq), 15), concat('SKU ', seq) FROM seq_1_to_100000000 WHERE seq <= @skus;
INSERT INTO customers
SELECT left(md5(seq), 15), concat('Customer ', seq) FROM seq_1_to_100000000 WHERE seq <= @customers;
INSERT INTO orders
SELECT left(md5(seq), 15), concat('Order ', seq), seq % 50000 / 100, elt(seq % 4 + 1, 'north', 'east', 'south', 'west')
FROM seq_1_to_100000000 WHERE seq <= @orders;

SET @midnight = timestamp(utc_date()), @elapsed = timestampdiff(microsecond, utc_date(), utc_timestamp(6));
INSERT INTO staging
SELECT concat('earlier-', seq), 'completed', @midnight - INTERVAL (seq % 2592000 + 1) SECOND
FROM seq_1_to_100000000 WHERE seq <= @completed_earlier
UNION ALL
SELECT concat('completed-', seq), 'completed', @midnight + INTERVAL (@elapsed * (seq - 1) DIV @completed) MICROSECOND
FROM seq_1_to_100000000 WHERE seq <= @completed
UNION ALL
SELECT concat('pending-', seq), 'pending', NULL FROM seq_1_to_100000000 WHERE seq <= @pending
UNION ALL
SELECT concat('processing-', seq), 'processing', NULL FROM seq_1_to_100000000 WHERE seq <= @processing;

-- The user that the bridge reads MySQL or MariaDB with: it may read these tables and nothing else. As an administrator,
-- with the password in a file:
--
--   mysql --init-command="SET @password = '$(cat secrets/database_password)'" < deploy/sql/mysql-role.sql
--
-- Name the tables that are to be counted, and instead of % the host that the bridge connects from.

-- A password can only stand in CREATE USER as it is written.
SET @create_user = CONCAT(
    'CREATE USER ''bridge''@''%'' IDENTIFIED BY ', QUOTE(@password), ' WITH MAX_USER_CONNECTIONS 5');
PREPARE create_user FROM @create_user;
EXECUTE create_user;
DEALLOCATE PREPARE create_user;

GRANT SELECT ON linkit.products TO 'bridge'@'%';
GRANT SELECT ON linkit.branches TO 'bridge'@'%';
GRANT SELECT ON linkit.skus TO 'bridge'@'%';
GRANT SELECT ON linkit.orders TO 'bridge'@'%';
GRANT SELECT ON linkit.customers TO 'bridge'@'%';
GRANT SELECT ON linkit.staging TO 'bridge'@'%';

//! How records are written: PocketBase's tables, and one prepared statement for each.

use fastrand::Rng;
use rusqlite::{Connection, Result, Statement, params};

use crate::clock::Wall;

/// PocketBase's layout: columns in alphabetical order, dates as text, an empty text for what is not set.
pub(super) const LAYOUT: &str = "
CREATE TABLE `products` (`code` TEXT DEFAULT '' NOT NULL, `created` TEXT DEFAULT '' NOT NULL,
  `id` TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL, `name` TEXT DEFAULT '' NOT NULL,
  `price` NUMERIC DEFAULT 0 NOT NULL);
CREATE TABLE `branches` (`city` TEXT DEFAULT '' NOT NULL, `created` TEXT DEFAULT '' NOT NULL,
  `id` TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL, `name` TEXT DEFAULT '' NOT NULL);
CREATE TABLE `skus` (`branch` TEXT DEFAULT '' NOT NULL, `code` TEXT DEFAULT '' NOT NULL,
  `created` TEXT DEFAULT '' NOT NULL, `id` TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL,
  `product` TEXT DEFAULT '' NOT NULL, `qty` NUMERIC DEFAULT 0 NOT NULL);
CREATE TABLE `customers` (`created` TEXT DEFAULT '' NOT NULL, `email` TEXT DEFAULT '' NOT NULL,
  `id` TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL, `name` TEXT DEFAULT '' NOT NULL);
CREATE TABLE `orders` (`created` TEXT DEFAULT '' NOT NULL, `customer` TEXT DEFAULT '' NOT NULL,
  `id` TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL, `number` TEXT DEFAULT '' NOT NULL,
  `total` NUMERIC DEFAULT 0 NOT NULL);
CREATE TABLE `staging` (`completed` TEXT DEFAULT '' NOT NULL, `created` TEXT DEFAULT '' NOT NULL,
  `id` TEXT PRIMARY KEY DEFAULT ('r'||lower(hex(randomblob(7)))) NOT NULL, `reference` TEXT DEFAULT '' NOT NULL,
  `status` TEXT DEFAULT '' NOT NULL);
CREATE INDEX `idx_staging_open` ON `staging` (`status`) WHERE `status` IN ('pending', 'processing');
CREATE INDEX `idx_staging_completed` ON `staging` (`completed`) WHERE `status` = 'completed';
";

const SKUS_PER_PRODUCT: u32 = 8;

/// Writes records of every kind, inside the transaction of its connection.
pub(super) struct Records<'a> {
    rng: &'a mut Rng,
    products: Statement<'a>,
    branches: Statement<'a>,
    skus: Statement<'a>,
    customers: Statement<'a>,
    orders: Statement<'a>,
    items: Statement<'a>,
}

impl<'a> Records<'a> {
    pub(super) fn new(connection: &'a Connection, rng: &'a mut Rng) -> Result<Self> {
        let insert = |sql| connection.prepare(sql);
        Ok(Self {
            rng,
            products: insert("INSERT INTO products (id, created, code, name, price) VALUES (?1, ?2, ?3, ?4, ?5)")?,
            branches: insert("INSERT INTO branches (id, created, city, name) VALUES (?1, ?2, ?3, ?4)")?,
            skus: insert("INSERT INTO skus (id, created, product, branch, code, qty) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?,
            customers: insert("INSERT INTO customers (id, created, name, email) VALUES (?1, ?2, ?3, ?4)")?,
            orders: insert("INSERT INTO orders (id, created, customer, number, total) VALUES (?1, ?2, ?3, ?4, ?5)")?,
            items: insert(
                "INSERT INTO staging (id, created, completed, status, reference) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
        })
    }

    /// A branch; its id.
    pub(super) fn branch(&mut self, number: u32, created: Wall) -> Result<String> {
        let id = self.id();
        let (city, name) = (format!("City {number}"), format!("Branch {number}"));
        self.branches.execute(params![id, time(created), city, name])?;
        Ok(id)
    }

    /// A product with its stock in some of the branches; its code.
    pub(super) fn product(&mut self, number: u32, branches: &[String], created: Wall) -> Result<String> {
        let (id, created) = (self.id(), time(created));
        let code = format!("P{number:05}");
        let price = self.price(10_000);
        self.products.execute(params![id, created, code, format!("Product {number}"), price])?;
        let first = self.rng.usize(..);
        for offset in 0..SKUS_PER_PRODUCT {
            let branch = &branches[(first % branches.len() + offset as usize) % branches.len()];
            let (sku, quantity) = (self.id(), self.rng.u32(..200));
            self.skus.execute(params![sku, created, id, branch, format!("{code}-{offset}"), quantity])?;
        }
        Ok(code)
    }

    /// A customer; the id.
    pub(super) fn customer(&mut self, number: u32, created: Wall) -> Result<String> {
        let id = self.id();
        let (name, email) = (format!("Customer {number}"), format!("customer{number}@example.com"));
        self.customers.execute(params![id, time(created), name, email])?;
        Ok(id)
    }

    /// An order of a customer; its number.
    pub(super) fn order(&mut self, number: u32, customer: &str, created: Wall) -> Result<String> {
        let (id, total) = (self.id(), self.price(40_000));
        let number = format!("L{number:07}");
        self.orders.execute(params![id, time(created), customer, number, total])?;
        Ok(number)
    }

    /// An item of the pipeline; `completed` is empty as long as it is not.
    pub(super) fn item(&mut self, status: &str, reference: &str, created: Wall, completed: &str) -> Result<()> {
        let id = self.id();
        self.items.execute(params![id, time(created), completed, status, reference])?;
        Ok(())
    }

    /// An id as PocketBase makes it: 15 small letters and digits.
    fn id(&mut self) -> String {
        const SIGNS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..15).map(|_| char::from(SIGNS[self.rng.usize(..SIGNS.len())])).collect()
    }

    fn price(&mut self, cents_max: u32) -> f64 {
        f64::from(self.rng.u32(99..cents_max)) / 100.0
    }
}

/// A time as PocketBase stores it.
pub(super) fn time(wall: Wall) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(wall.0)).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%d %H:%M:%S%.3fZ").to_string()
}

//! What the sessions of one program have cost a database server.

use std::time::{Duration, Instant};

use super::proc::{self, Tasks};
use super::shop::{Connection, ROLE, Shop};
use crate::Result;

const PATIENCE: Duration = Duration::from_secs(20);

/// The sessions of the role that the programs read by; only one program runs at a time.
pub(crate) struct Sessions<'a> {
    shop: &'a Shop,
    connection: Connection,
    before: Tasks,
    ended_before: Duration,
    branches: u64,
    /// Tasks that have worked for the role.
    seen: Vec<u32>,
}

impl<'a> Sessions<'a> {
    pub(crate) fn watch(shop: &'a Shop) -> Result<Self> {
        let mut connection = shop.connect()?;
        let branches = connection.number("SELECT count(*) FROM branches")?.max(1);
        let (before, ended_before) = (Tasks::new(), Duration::ZERO);
        Ok(Self { shop, connection, before, ended_before, branches, seen: Vec::new() })
    }

    /// What they use is counted from now on.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.look()?;
        self.before = self.tasks()?;
        self.ended_before = self.ended()?;
        Ok(())
    }

    /// Looks which tasks work for the role now. To be called again and again: the peer makes a new session each other
    /// poll.
    pub(crate) fn look(&mut self) -> Result<()> {
        let sql = match self.shop {
            Shop::Sqlite { .. } => return Ok(()),
            Shop::Postgres { .. } => format!("SELECT pid FROM pg_stat_activity WHERE usename = '{ROLE}'"),
            Shop::MariaDb { .. } => {
                format!("SELECT CAST(tid AS SIGNED) FROM information_schema.processlist WHERE user = '{ROLE}'")
            }
        };
        for task in self.connection.numbers(&sql)? {
            let task = task.try_into()?;
            if !self.seen.contains(&task) {
                self.seen.push(task);
            }
        }
        Ok(())
    }

    /// The CPU time they have used since.
    pub(crate) fn used(mut self) -> Result<Duration> {
        self.look()?;
        let now = self.tasks()?;
        let mut used = proc::used(&self.before, &now);
        // PostgreSQL's parallel workers and sessions that were closed have ended; of these what they had used before is
        // not of this time.
        let gone: Duration = self.before.iter().filter(|(id, _)| !now.contains_key(id)).map(|(_, time)| *time).sum();
        used += self.ended()?.saturating_sub(self.ended_before).saturating_sub(gone);
        Ok(used)
    }

    fn tasks(&self) -> Result<Tasks> {
        Ok(match self.shop {
            Shop::Sqlite { .. } => Tasks::new(),
            Shop::Postgres { .. } => proc::processes(&self.seen),
            // A thread goes on to serve the next session, so all are looked at before it is known whose they will be.
            Shop::MariaDb { process, .. } => {
                let mut threads = proc::threads(*process)?;
                if !self.before.is_empty() {
                    threads.retain(|id, _| self.seen.contains(id));
                }
                threads
            }
        })
    }

    fn ended(&self) -> Result<Duration> {
        match self.shop {
            Shop::Postgres { process, .. } => proc::ended_children(*process),
            _ => Ok(Duration::ZERO),
        }
    }

    /// Waits until the smallest table has been counted once more; how often that was in all.
    pub(crate) fn next_count(&mut self) -> Result<u64> {
        let (before, began) = (self.counts()?, Instant::now());
        loop {
            let now = self.counts()?;
            if now > before {
                return Ok(now);
            }
            if began.elapsed() > PATIENCE {
                return Err("the peer does not poll".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn counts(&mut self) -> Result<u64> {
        match self.shop {
            Shop::Sqlite { .. } => Ok(0),
            Shop::Postgres { .. } => self.connection.number(
                "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query LIKE '%FROM branches%'",
            ),
            // The rows it has read: each count reads all.
            Shop::MariaDb { .. } => Ok(self.connection.number(
                "SELECT CAST(coalesce(sum(rows_read), 0) AS SIGNED) FROM information_schema.table_statistics \
                 WHERE table_name = 'branches'",
            )? / self.branches),
        }
    }
}

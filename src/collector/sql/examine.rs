//! What makes a statement dear, with the database's own plan as the proof.

use std::time::Duration;

use super::{Link, Source};
use crate::collector::Finding;

/// A statement that takes longer is worth a look.
const SLOW: Duration = Duration::from_millis(50);

/// How long explaining may take; it reads no table.
const BUDGET: Duration = Duration::from_secs(1);

/// A statement to be looked at.
pub(super) struct Suspect<'a> {
    pub(super) thing: String,
    pub(super) sql: String,
    /// What it cost, or `None` if it was over `budget`.
    pub(super) cost: Option<Duration>,
    pub(super) budget: Duration,
    /// What helps if it reads a whole table.
    pub(super) indexes: &'a [String],
    /// Whether reading a whole table is its job.
    pub(super) is_count: bool,
}

/// Looks at a statement: a finding if it is slow, or reads a whole table to find a few rows.
pub(super) async fn examine(suspect: Suspect<'_>, source: &Source, link: &mut dyn Link) -> Option<Finding> {
    let Suspect { thing, sql, cost, budget, indexes, is_count } = suspect;
    let is_slow = cost.is_none_or(|cost| cost > SLOW);
    if is_count && !is_slow {
        return None;
    }
    let dialect = source.dialect();
    let rows = link.rows(&thing, &dialect.explain(&sql), BUDGET).await.unwrap_or_default();
    let plan = dialect.plan(&rows);
    let scans = plan.iter().any(|step| step.is_full_scan);
    if !is_slow && !scans {
        return None;
    }
    let time = cost.map_or_else(
        || format!("took longer than its budget of {budget:?} and was cancelled"),
        |cost| format!("took {cost:.1?}"),
    );
    let matter = match (is_count, scans) {
        (false, true) => format!("{time}, and reads a whole table: it will take longer as that grows"),
        _ => time,
    };
    let mut remedies = Vec::new();
    if scans {
        remedies.extend_from_slice(indexes);
    }
    if is_count {
        let remedy = match cost {
            None => "raise count_budget if the database can bear it, else it is estimated",
            Some(_) => "lower count_budget if the database cannot bear it, then it is estimated",
        };
        remedies.push(remedy.to_owned());
    } else if remedies.is_empty() {
        remedies.push("read it less often, or give it an index that fits the plan".to_owned());
    }
    Some(Finding { thing, matter, plan: plan.into_iter().map(|step| step.text).collect(), remedies })
}

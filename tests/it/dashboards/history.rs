//! What a Prometheus would have stored in the week before a test: samples in OpenMetrics, for its blocks.
//!
//! Rules and panels look back for hours and days. With this history under a live bridge they are asked as they are,
//! with no window made shorter.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;

pub struct History {
    now: f64,
    target: String,
    /// The labels of the scope, which scraped series have.
    scope: &'static str,
    /// The ages at which there are samples, the oldest first.
    ages: Vec<f64>,
    text: String,
}

impl History {
    /// Of one bridge that was scraped, up to now: the last five hours each 30 s, and half an hour about this time a week
    /// ago.
    pub fn scraped(job: &str, instance: &str) -> Self {
        let scope =
            concat!(",otel_scope_name=\"linkit-bridge\",otel_scope_version=\"", env!("CARGO_PKG_VERSION"), "\"");
        Self { scope, ..Self::pushed(job, instance) }
    }

    /// Of one that pushed.
    pub fn pushed(job: &str, instance: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64().floor();
        let steps = |from: f64, to: f64, step: f64| {
            let count = ((from - to) / step) as u32;
            (0..count).map(move |at| from - f64::from(at) * step)
        };
        let week = steps(7.0 * DAY + 15.0 * MINUTE, 7.0 * DAY - 15.0 * MINUTE, MINUTE);
        let ages = week.chain(steps(5.0 * HOUR, 15.0, 30.0)).collect();
        Self { now, target: format!("job=\"{job}\",instance=\"{instance}\""), scope: "", ages, text: String::new() }
    }

    /// Only the last half hour of it.
    pub fn lately(mut self) -> Self {
        self.ages.retain(|age| *age < 30.0 * MINUTE);
        self
    }

    /// A series by its value at an age in hours; `labels` are such as `state="pending"`.
    pub fn series(&mut self, name: &str, labels: &str, value: impl Fn(f64) -> f64) -> &mut Self {
        self.write(name, &format!("{}{}{labels}", self.scope, if labels.is_empty() { "" } else { "," }), value)
    }

    fn write(&mut self, name: &str, labels: &str, value: impl Fn(f64) -> f64) -> &mut Self {
        for age in &self.ages {
            let (time, value) = (self.now - age, value(age / HOUR));
            writeln!(self.text, "{name}{{{}{labels}}} {value} {time}", self.target).unwrap();
        }
        self
    }

    /// A time that lies as far behind the samples as given, such as that of a last success.
    pub fn time(&mut self, name: &str, labels: &str, behind: f64) -> &mut Self {
        let now = self.now;
        self.series(name, labels, |hours| now - hours * HOUR - behind)
    }

    /// The series of a bridge whose sources and endpoint are well.
    pub fn well(&mut self) -> &mut Self {
        let own = "linkit_bridge";
        self.series(&format!("{own}_build_info"), "version=\"0.1.0\"", |_| 1.0);
        for (collector, source) in [("runtime", "telemetry_json"), ("store", "sqlite"), ("staging", "sqlite")] {
            let labels = format!("collector=\"{collector}\",source=\"{source}\"");
            self.series(&format!("{own}_collector_up"), &labels, |_| 1.0);
            self.series(&format!("{own}_collector_staleness"), &labels, |_| 0.0);
            self.time(&format!("{own}_collector_last_success_timestamp_seconds"), &labels, 5.0);
        }
        self.time(&format!("{own}_web_config_last_reload_timestamp_seconds"), "", 60.0);
        self.series(&format!("{own}_web_config_last_reload_successful"), "", |_| 1.0);
        self.time(&format!("{own}_api_key_last_used_timestamp_seconds"), "key=\"ops\"", 5.0);
        self.series(&format!("{own}_api_key_last_reload_successful"), "", |_| 1.0);
        self.series(&format!("{own}_web_certificate_expiry_timestamp_seconds"), "", |_| 4e9);
        self.series(&format!("{own}_api_key_expiry_timestamp_seconds"), "key=\"ops\"", |_| 4e9)
    }

    /// What the rules would have recorded of a figure that changes by `slope` an hour up to `last`: the least of a window
    /// that it ends is its value at the window's begin if it rises, and its last one if not.
    pub fn with_floor(&mut self, name: &str, record: &str, window: f64, last: f64, slope: f64) -> &mut Self {
        let at = move |hours: f64| last - slope * hours;
        self.series(name, "", at);
        self.write(record, "", move |hours| at(hours).min(at(hours + window)))
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The histories of several bridges as one text; the samples of a name stand together, as the format wants it.
pub fn together(histories: &[History]) -> String {
    let mut lines: Vec<_> = histories.iter().flat_map(|history| history.text().lines()).collect();
    lines.sort_by_key(|line| line.split('{').next().unwrap().to_owned());
    format!("{}\n# EOF\n", lines.join("\n"))
}

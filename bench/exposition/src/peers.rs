//! What makes pages: the bridge, the libraries beside it, and the SDK's collection alone. Each holds the same series.

mod bridge;
mod client;
mod exporter;
mod opentelemetry_prometheus;
mod prometheus;
mod sdk;

use std::io::{BufRead, Write};

use bytes::Bytes;

use crate::{Result, memory};

/// Something that holds series and writes them.
pub(crate) trait Peer {
    /// Gives every series a new value; `round` tells the rounds apart.
    fn refresh(&mut self, round: u64);

    /// From the registry to bytes.
    fn render(&mut self) -> Bytes;
}

/// The bridge, as the first in [`NAMES`].
pub(crate) const BRIDGE: &str = "linkit-bridge";

/// What the SDK alone takes, where it holds the values: no page, and so no peer.
pub(crate) const SDK: &str = "SDK, collection alone";

/// All of them, the bridge first.
pub(crate) const NAMES: [&str; 6] =
    [BRIDGE, "opentelemetry-prometheus", "prometheus", "prometheus-client", "metrics-exporter-prometheus", SDK];

fn build(name: &str, series: usize) -> Result<Box<dyn Peer>> {
    Ok(match name {
        BRIDGE => Box::new(bridge::Bridge::new(series)?),
        "opentelemetry-prometheus" => Box::new(opentelemetry_prometheus::Exporter::new(series)?),
        "prometheus" => Box::new(prometheus::Gathered::new(series)?),
        "prometheus-client" => Box::new(client::Client::new(series)),
        "metrics-exporter-prometheus" => Box::new(exporter::Recorder::new(series)),
        SDK => Box::new(sdk::Collected::new(series)),
        _ => return Err(format!("no peer is called {name:?}").into()),
    })
}

/// The process of one peer at one size. It answers each line it is sent: `time COUNT` with the nanoseconds of a refresh
/// and of a rendering, each the mean of so many; `peak` with the most memory a rendering held and the page's size;
/// `page` with the page and an end of file.
pub(crate) fn run(name: &str, series: usize) -> Result<()> {
    let mut peer = build(name, series)?;
    let mut round = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        round += 1;
        match line.split_once(' ') {
            Some(("time", count)) => {
                let count: u64 = count.parse()?;
                let (mut refreshed, mut rendered) = (0, 0);
                for _ in 0..count {
                    round += 1;
                    let start = cpu_ns();
                    peer.refresh(round);
                    let between = cpu_ns();
                    let page = peer.render();
                    rendered += cpu_ns() - between;
                    refreshed += between - start;
                    drop(page);
                }
                println!("{} {}", refreshed / count, rendered / count);
            }
            None if line == "peak" => {
                peer.refresh(round);
                let mut bytes = 0;
                let peak = memory::peak(|| {
                    let page = peer.render();
                    bytes = page.len();
                    page
                });
                println!("{peak} {bytes}");
            }
            None if line == "page" => {
                peer.refresh(round);
                return Ok(std::io::stdout().write_all(&peer.render())?);
            }
            _ => return Err(format!("no command is {line:?}").into()),
        }
    }
    Ok(())
}

/// The time of the processor that this thread has had: all that is measured runs on one thread and waits for nothing,
/// and what else runs on the machine does not count.
fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// How many series each family has: a hundred, the most that the bridge lets a custom figure have, or ten on a small
/// page.
const fn per_family(series: usize) -> usize {
    if series < 1000 { 10 } else { 100 }
}

/// The families of a page of so many series.
fn families(series: usize) -> impl Iterator<Item = Family> {
    let size = per_family(series);
    (0..series / size).map(move |number| Family { number, size })
}

/// One family, whoever holds it.
#[derive(Clone, Copy)]
struct Family {
    number: usize,
    size: usize,
}

impl Family {
    /// Its name on the page.
    fn name(self) -> String {
        format!("linkit_custom_shop_figure_{:04}", self.number)
    }

    fn help(self) -> String {
        format!("What figure {} of the shop tells of its branches.", self.number)
    }

    /// The label sets of its series, sorted by key.
    fn labels(self) -> impl Iterator<Item = [(&'static str, String); 3]> {
        (0..self.size).map(move |at| {
            let kind = ["retail", "outlet", "online", "kiosk"][at % 4];
            [
                ("branch", format!("branch-{at:03}")),
                ("kind", kind.to_owned()),
                ("region", format!("region-{}", at / 10)),
            ]
        })
    }

    /// The value of a series: half the families count things, the others measure seconds.
    fn value(self, at: usize, round: u64) -> f64 {
        let number = (self.number * 7919 + at * 104_729) as u64 + round;
        if self.number.is_multiple_of(2) { (number % 5_000_000) as f64 } else { (number % 9_999_991) as f64 / 1000.0 }
    }
}

//! Rendering after a refresh, from the registry to bytes: the bridge beside the peers, a process each.
//!
//! Rounds are taken in turns, each the other way round than the last, so that what else runs on the machine meets all
//! alike; the bridge is judged by the median of the rounds' ratios.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::peers::{BRIDGE, NAMES, SDK};
use crate::stats::Quartiles;
use crate::{Result, word};

/// Sizes in series, with how many renderings make a round, so that each round takes some hundredths of a second.
const SIZES: [(usize, u32); 3] = [(100, 300), (10_000, 5), (100_000, 1)];
const ROUNDS: usize = 11;

/// The most that a series may take at 100,000 against one at 10,000. On the way the page outgrows the caches, which
/// costs all of them; what grew as the square would take ten times as much.
const GROWTH_MAX: f64 = 2.0;

/// A peer's process, which ends with the value.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(name: &str, series: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["peer", name, &series.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, input, output })
    }

    /// The two numbers that a command is answered with.
    fn ask(&mut self, command: &str) -> Result<[u64; 2]> {
        writeln!(self.input, "{command}")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let mut numbers = line.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(first)), Some(Ok(second))) => Ok([first, second]),
            _ => Err(format!("{command:?} was answered with {line:?}").into()),
        }
    }

    fn page(mut self) -> Result<String> {
        writeln!(self.input, "page")?;
        let mut page = String::new();
        self.output.read_to_string(&mut page)?;
        Ok(page)
    }
}

/// What one peer took at one size.
struct Taken {
    refresh_ns: Vec<f64>,
    render_ns: Vec<f64>,
    peak_bytes: u64,
    page_bytes: u64,
}

/// Measures all sizes and prints the table; whether the bridge holds what is required of it.
pub(crate) fn run() -> Result<bool> {
    println!("rendering after a refresh: time of the processor, {ROUNDS} rounds in turns; ratios to the bridge's\n");
    println!(
        "{:28} {:>9} {:>9} {:>7} {:>14} {:>9} {:>9}",
        "", "refresh", "render", "ratio", "quartiles", "peak MB", "page MB"
    );
    let mut holds = true;
    let mut each_ns = Vec::new();
    for (series, renderings) in SIZES {
        check_pages(series)?;
        let taken = measure(series, renderings)?;
        println!("{series} series");
        holds &= table(&taken);
        each_ns.push(Quartiles::of(taken[0].render_ns.clone()).low / series as f64);
    }
    let growth = each_ns[2] / each_ns[1];
    let is_linear = growth <= GROWTH_MAX;
    println!(
        "\na series of 100,000 takes {growth:.2} of one of 10,000, at most {GROWTH_MAX}: {}; ns a series: {}",
        word(is_linear),
        each_ns.iter().map(|ns| format!("{ns:.0}")).collect::<Vec<_>>().join(", ")
    );
    Ok(holds && is_linear)
}

fn measure(series: usize, renderings: u32) -> Result<Vec<Taken>> {
    let mut processes = NAMES.map(|name| Process::start(name, series)).into_iter().collect::<Result<Vec<_>>>()?;
    for process in &mut processes {
        process.ask(&format!("time {renderings}"))?;
    }
    let mut taken: Vec<_> = NAMES
        .iter()
        .map(|_| Taken { refresh_ns: Vec::new(), render_ns: Vec::new(), peak_bytes: 0, page_bytes: 0 })
        .collect();
    for round in 0..ROUNDS {
        let mut turn: Vec<_> = (0..NAMES.len()).collect();
        if round % 2 == 1 {
            turn.reverse();
        }
        for at in turn {
            let [refresh, render] = processes[at].ask(&format!("time {renderings}"))?;
            taken[at].refresh_ns.push(refresh as f64);
            taken[at].render_ns.push(render as f64);
        }
    }
    for (process, taken) in processes.iter_mut().zip(&mut taken) {
        [taken.peak_bytes, taken.page_bytes] = process.ask("peak")?;
    }
    Ok(taken)
}

/// Prints the lines of one size; whether the bridge is the fastest and holds the least memory.
fn table(taken: &[Taken]) -> bool {
    let bridge = &taken[0];
    let mut holds = true;
    for (name, peer) in NAMES.iter().zip(taken) {
        let ratios = peer.render_ns.iter().zip(&bridge.render_ns).map(|(peer, bridge)| peer / bridge).collect();
        let ratio = Quartiles::of(ratios);
        let is_beaten = ratio.median > 1.0 && peer.peak_bytes > bridge.peak_bytes;
        let verdict = match *name {
            BRIDGE => "",
            SDK => "the floor of who collects through it",
            _ => word(is_beaten),
        };
        holds &= is_beaten || [BRIDGE, SDK].contains(name);
        println!(
            "  {name:26} {:>9} {:>9} {:>7.2} {:>14} {:>9.3} {:>9.3}   {verdict}",
            time(Quartiles::of(peer.refresh_ns.clone()).median),
            time(Quartiles::of(peer.render_ns.clone()).median),
            ratio.median,
            format!("{:.2} to {:.2}", ratio.low, ratio.high),
            peer.peak_bytes as f64 / 1e6,
            peer.page_bytes as f64 / 1e6,
        );
    }
    holds
}

fn time(ns: f64) -> String {
    if ns < 1e6 { format!("{:.1}µs", ns / 1e3) } else { format!("{:.2}ms", ns / 1e6) }
}

/// Who writes less is faster, so all must write the same series.
fn check_pages(series: usize) -> Result<()> {
    for name in NAMES.into_iter().filter(|name| *name != SDK) {
        let page = Process::start(name, series)?.page()?;
        let samples = page.lines().filter(|line| line.starts_with("linkit_custom_shop_figure_")).count();
        if samples != series {
            return Err(format!("{name} wrote {samples} samples of {series}").into());
        }
    }
    Ok(())
}

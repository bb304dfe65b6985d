//! A configuration with every kind of setting, and two hundred ways to spoil it: each costs one line that names the place
//! and the remedy, tells no secret, and is there at once.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use linkit_bridge::app::App;
use linkit_bridge::clock::SystemClock;
use linkit_bridge::config::Config;
use rustix::time::{ClockId, clock_gettime};

use crate::support::Directory;
use crate::support::bridge::command;

const FULL: &str = include_str!("full.yml");

/// Of each kind of mistake; those that need no seed are fewer.
const OF_EACH: usize = 22;
/// Every so many of them are given to the real program too.
const SAMPLE: usize = 5;
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// Keys that the operator chooses.
const FREE: [&str; 3] = ["skus", "authorization", "sales"];
/// What begins so in the file is secret.
const SECRETS: [&str; 2] = ["canary", "ca9a57"];

/// What must come of a spoiled config.
enum Outcome {
    /// It is refused, and the line says each of these.
    Refused(Vec<String>),
    /// It is refused, or it is no mistake after all.
    Either,
}

struct Spoiled {
    how: &'static str,
    text: Vec<u8>,
    outcome: Outcome,
}

impl Spoiled {
    fn refused<const N: usize>(how: &'static str, text: impl Into<Vec<u8>>, parts: [&str; N]) -> Self {
        let parts = parts.into_iter().map(str::to_owned).collect();
        Self { how, text: text.into(), outcome: Outcome::Refused(parts) }
    }
}

/// A line `key: value` of the full config, from 1.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    key: &'a str,
    value: &'a str,
}

fn lines(full: &str) -> Vec<Line<'_>> {
    let pairs = full.lines().enumerate().filter_map(|(at, line)| {
        let line = line.trim_start().trim_start_matches("- ");
        let (key, value) = line.split_once(':').filter(|_| !line.starts_with('#'))?;
        Some(Line { number: at + 1, key, value: value.trim() })
    });
    pairs.filter(|line| !FREE.contains(&line.key)).collect()
}

/// The config with one line made anew; an empty text takes it away.
fn with_line(full: &str, number: usize, of: impl Fn(&str) -> String) -> String {
    let lines = full.lines().enumerate();
    lines.map(|(at, line)| if at + 1 == number { of(line) } else { format!("{line}\n") }).collect()
}

/// Mistakes in one line, whose number stands in the answer.
fn in_a_line(full: &str, random: &mut Rng, all: &mut Vec<Spoiled>) {
    let lines = lines(full);
    let place = |line: &Line<'_>| format!("bridge.yml:{}: ", line.number);
    let mut some = |wanted: &dyn Fn(&&Line<'_>) -> bool| {
        let mut fitting: Vec<_> = lines.iter().filter(wanted).copied().collect();
        random.shuffle(&mut fitting);
        let seeds: Vec<_> = (0..OF_EACH).map(|_| random.u64(..)).collect();
        fitting.into_iter().cycle().zip(seeds).collect::<Vec<_>>()
    };
    for (line, seed) in some(&|_| true) {
        let at = seed as usize % line.key.len();
        let mistyped = format!("{}x{}", &line.key[..at], &line.key[at..]);
        let text = with_line(full, line.number, |old| format!("{}\n", old.replacen(line.key, &mistyped, 1)));
        all.push(Spoiled::refused("mistyped key", text, [&place(&line), "unknown key", &mistyped]));
    }
    for (line, _) in some(&|line| !line.value.is_empty()) {
        let text = with_line(full, line.number, |old| format!("{}\n", old.replacen(line.value, "{ wrong: 1 }", 1)));
        // Of words that are known the refusal lists all.
        let said = if line.key == "source" { "known are" } else { line.key };
        all.push(Spoiled::refused("map for a value", text, [place(&line).as_str(), said]));
    }
    let is_duration = |line: &&Line<'_>| {
        let ends = ["interval", "timeout", "max_backoff", "_budget", "max_age", "_after"];
        ends.iter().any(|end| line.key.ends_with(end))
    };
    let bad =
        ["5", "soon", "-5s", "5 parsecs", "99999999999999999999h", "18446744073709551615s", "1.2.3s", "5s canary"];
    for (line, seed) in some(&is_duration) {
        let value = bad[seed as usize % bad.len()];
        let text = with_line(full, line.number, |old| format!("{}\n", old.replacen(line.value, value, 1)));
        all.push(Spoiled::refused("bad duration", text, [(place(&line) + line.key).as_str()]));
    }
    let is_size = |line: &&Line<'_>| line.key.ends_with("_bytes") || ["body_max", "megabyte"].contains(&line.key);
    let bad =
        ["much", "-1MiB", "1 parsec", "1MiB canary", "0x10MiB", "99999999999999999999MiB", "99999999999999999999"];
    for (line, seed) in some(&is_size).into_iter().take(OF_EACH / 2) {
        let value = bad[seed as usize % bad.len()];
        let text = with_line(full, line.number, |old| format!("{}\n", old.replacen(line.value, value, 1)));
        all.push(Spoiled::refused("bad size", text, [(place(&line) + line.key).as_str()]));
    }
    let is_plain = |line: &&Line<'_>| !line.value.is_empty() && line.key != "name";
    for (line, _) in some(&is_plain) {
        let twice = |old: &str| format!("{old}\n{}\n", old.replacen("- ", "  ", 1));
        let expected = format!("bridge.yml:{}: the key {} stands twice", line.number + 1, line.key);
        all.push(Spoiled::refused("key twice", with_line(full, line.number, twice), [expected.as_str()]));
    }
    let is_needed = |line: &&Line<'_>| ["source", "url", "path", "dir", "query", "help"].contains(&line.key);
    for (line, _) in some(&is_needed).into_iter().take(OF_EACH / 2) {
        let text = with_line(full, line.number, |_| String::new());
        all.push(Spoiled::refused("missing value", text, [line.key, "is missing"]));
    }
    let is_indented = |line: &&Line<'_>| full.lines().nth(line.number - 1).unwrap().starts_with("  ");
    for (line, _) in some(&is_indented).into_iter().take(OF_EACH / 2) {
        let text = with_line(full, line.number, |old| format!("\t{}\n", old.trim_start()));
        all.push(Spoiled::refused("tab", text, []));
    }
}

/// Mistakes anywhere.
fn anywhere(full: &str, random: &mut Rng, all: &mut Vec<Spoiled>) {
    for _ in 0..OF_EACH {
        let text = full.as_bytes()[..random.usize(..full.len())].to_vec();
        all.push(Spoiled { how: "truncated", text, outcome: Outcome::Either });
    }
    for _ in 0..OF_EACH {
        let mut text = full.as_bytes().to_vec();
        let control = *random.choice(&[0x00, 0x01, 0x07, 0x08, 0x0b, 0x1b, 0x7f]).unwrap();
        text.insert(random.usize(..text.len()), control);
        all.push(Spoiled { how: "control character", text, outcome: Outcome::Either });
    }
    for _ in 0..OF_EACH / 2 {
        let mut text = full.as_bytes().to_vec();
        let at = random.usize(..text.len());
        text.splice(at..at, std::iter::repeat_with(|| random.u8(0x80..)).take(64).collect::<Vec<_>>());
        all.push(Spoiled { how: "binary", text, outcome: Outcome::Either });
    }
}

/// Texts that are made to cost.
fn of_purpose(full: &str, all: &mut Vec<Spoiled>) {
    for depth in [100, 1000, 100_000, 500_000] {
        for (open, close) in [("[", "]"), ("{ a: ", "}"), ("- ", ""), ("? ", "")] {
            let nested = format!("{}1{}\n", open.repeat(depth), close.repeat(depth));
            all.push(Spoiled::refused("deep nesting", nested.clone(), []));
            for above in ["service:", "custom:", "unknown:", "otlp:", "otlp:\n  headers:"] {
                all.push(Spoiled::refused("deep nesting", format!("{above}\n    {nested}"), []));
            }
        }
    }
    let huge = |part: &str, bytes: usize| format!("{full}{}", part.repeat(bytes / part.len()));
    all.push(Spoiled::refused("huge", huge("# a comment\n", 4 << 20), ["more than 1 MiB"]));
    all.push(Spoiled::refused("huge", huge("  a: canary\n", 900 << 10), []));
    all.push(Spoiled::refused("huge", format!("{}: 1\n", "k".repeat(900 << 10)), []));
    all.push(Spoiled::refused("huge", format!("megabyte: {}\n", "9".repeat(900 << 10)), ["bridge.yml:1: "]));
    let laughs = (1..30).fold("a0: &a0 [canary, canary]\n".to_owned(), |text, at| {
        let before = format!("*a{}, ", at - 1).repeat(9);
        text + &format!("a{at}: &a{at} [{}]\n", before.trim_end_matches(", "))
    });
    all.push(Spoiled::refused("billion laughs", laughs.clone(), []));
    let laughs = laughs.replace("\na", "\n    a").replacen("a0", "    a0", 1);
    all.push(Spoiled::refused("billion laughs", format!("otlp:\n  headers:\n{laughs}"), []));
    all.push(Spoiled::refused("anchor in itself", "service: &a { name: *a }\n", []));
    all.push(Spoiled::refused("unknown anchor", "service: { name: *canary }\n", []));
    for text in ["\u{feff}\u{feff}a: 1\n", "a: 1\n---\nb: 2\n", "%YAML 9.9\n---\na: 1\n", "!!binary canary\n", "\"\n"] {
        all.push(Spoiled::refused("odd document", text, []));
    }
}

fn all(full: &str) -> Vec<Spoiled> {
    let (mut random, mut all) = (Rng::with_seed(0x11a_b1e), Vec::new());
    in_a_line(full, &mut random, &mut all);
    anywhere(full, &mut random, &mut all);
    of_purpose(full, &mut all);
    assert!(all.len() >= 200, "{}", all.len());
    all
}

/// The full config in a directory that has all it names.
fn full(directory: &Directory) -> String {
    directory.write("web.key", "canary-in-a-file\n");
    directory.write("mysql.password", "canary-in-a-file\n");
    FULL.replace("DIRECTORY", directory.path().to_str().unwrap())
}

/// The refusal of a config by the library, as the program would say it.
fn refusal(text: &str) -> Option<String> {
    let config = match Config::parse("bridge.yml", text, &|_| None) {
        Ok(config) => config,
        Err(error) => return Some(error.to_string()),
    };
    App::new(&config, &|_| None, Arc::new(SystemClock::new())).err().map(|error| format!("{error:#}"))
}

/// What the thread has worked; a neighbour on the machine takes no part in it.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// What is wrong with what was said to a spoiled config.
fn flaw(spoiled: &Spoiled, said: Option<&str>) -> Option<String> {
    let Some(said) = said else {
        return matches!(spoiled.outcome, Outcome::Refused(_)).then(|| "is taken for good".to_owned());
    };
    if let Outcome::Refused(parts) = &spoiled.outcome
        && let Some(part) = parts.iter().find(|part| !said.contains(part.as_str()))
    {
        return Some(format!("is not said to be {part}"));
    }
    if said.is_empty() || said.contains(char::is_control) || said.len() > 1000 {
        return Some("is not one short line".to_owned());
    }
    if !said.contains([';', '?']) && !said.contains("expected") && !said.contains("known are") {
        return Some("has no remedy".to_owned());
    }
    SECRETS.iter().any(|secret| said.contains(secret)).then(|| "tells a secret".to_owned())
}

/// All flaws at once; each with the line of the config that was changed, where that is one.
fn none(flaws: Vec<(Spoiled, String, Option<String>)>, full: &str) {
    let shown = flaws.iter().map(|(spoiled, flaw, said)| {
        let text = String::from_utf8_lossy(&spoiled.text);
        let line = text.lines().find(|line| !full.contains(line)).unwrap_or_default();
        format!("{}: {:?} {flaw}: {said:?}\n", spoiled.how, line.chars().take(100).collect::<String>())
    });
    assert!(flaws.is_empty(), "{}", shown.collect::<String>());
}

#[test]
fn the_full_config_is_good() {
    let directory = Directory::new("full");
    assert_eq!(refusal(&full(&directory)), None);
}

#[test]
fn two_hundred_spoiled_configs_are_each_refused_in_one_line_at_once() {
    let directory = Directory::new("spoiled");
    let full = full(&directory);
    let mut flaws = Vec::new();
    // What is no text, or too much of it, is refused where the file is read.
    let is_read = |spoiled: &Spoiled| spoiled.text.len() <= 1 << 20 && str::from_utf8(&spoiled.text).is_ok();
    for spoiled in all(&full).into_iter().filter(is_read) {
        let before = worked();
        let said = refusal(str::from_utf8(&spoiled.text).unwrap());
        let took = worked() - before;
        let late = (took > ANSWERED_WITHIN).then(|| format!("took {took:?}"));
        if let Some(flaw) = flaw(&spoiled, said.as_deref()).or(late) {
            flaws.push((spoiled, flaw, said));
        }
    }
    none(flaws, &full);
}

/// The program, which the system ends once it has worked for a second; a neighbour on the machine takes no part in that.
fn limited(program: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -t {} && exec \"$@\"", ANSWERED_WITHIN.as_secs()), "sh"]);
    limited.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited
}

#[test]
fn the_program_refuses_them_with_exit_code_2() {
    let directory = Directory::new("refused");
    let full = full(&directory);
    let mut flaws = Vec::new();
    let is_given = |at: usize, spoiled: &Spoiled| at.is_multiple_of(SAMPLE) || spoiled.text.len() > 1 << 20;
    for (_, spoiled) in all(&full).into_iter().enumerate().filter(|(at, spoiled)| is_given(*at, spoiled)) {
        let file = directory.path().join("bridge.yml");
        std::fs::write(&file, &spoiled.text).unwrap();
        let output = limited(&command()).args(["--config.check", "--config.file"]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).replace(file.to_str().unwrap(), "bridge.yml");
        let said = said.trim_end_matches('\n').strip_prefix("linkit-bridge: ").map(str::to_owned);
        let code = output.status.code();
        let is_coded = code == Some(if said.is_some() { 2 } else { 0 }) && (said.is_none() || output.stdout.is_empty());
        let coded = (!is_coded).then(|| format!("ends with {code:?}"));
        if let Some(flaw) = flaw(&spoiled, said.as_deref()).or(coded) {
            flaws.push((spoiled, flaw, said));
        }
    }
    none(flaws, &full);
}

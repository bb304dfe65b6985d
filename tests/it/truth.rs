//! The rules of truth as one table: what can become of a source, down, and what every face then says, across. The faces
//! are asked for real, over real collectors of real sources; only the time is moved by hand.

mod bench;
mod completed;
mod look;
mod panic;
mod play;
mod said;

use bench::World::{self, Database, Document, GoPage};
use play::Play;
use play::Step::{self, Away, Few, Lie, Panic, Pass, Say, Sql, Start};

const DOCUMENT: &[&str] = &["runtime", "store", "staging"];

/// An item completed in the last second of the day, and one in the first.
const AROUND_MIDNIGHT: &str = "INSERT INTO staging (status, completed) VALUES
    ('completed', '2024-01-15 23:59:59.000Z'), ('completed', '2024-01-16 00:00:00.500Z')";

/// A state, its world, how it comes about, what the document says of itself with the health answer, and a line for each
/// section that is not as it is when nothing is wrong.
type Row = (&'static str, World, &'static [Step], &'static str, &'static [&'static str]);

/// How sections are when nothing is wrong: the line of each in the rows that do not speak of it.
///
/// `second` is what the source says at its second reading, see [`said`]. `@`: when a figure was read; `since`: when a
/// counter began; both in seconds from the start, `now` for the last reading, `today` for its midnight, `?` for nobody
/// knows. The last four are the collector's up, staleness, errors by class, and last success.
#[rustfmt::skip]
const READ: [&str; 4] = [
    // section | text | openmetrics       | otlp                    | json   | up staleness errors last_success
    "runtime | second | second since ?     | second since ? @now     | second | 1 0 - now",
    "store   | second | second             | second @now             | second | 1 0 - now",
    "staging | second | second since today | second since today @now | second | 1 0 - now",
    "shop    | second | second since ?     | second since ? @now     | -      | 1 0 - now",
];

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // ---- read ------------------------------------------------------------------------------------------------------
    ("read again", Document, &[Start, Pass(10)], "200, measured now | healthy", &[]),
    ("read again", Database, &[Start, Pass(10)], "200, measured now | healthy", &[]),
    ("read once", Document, &[Start], "200, measured now | healthy", &[
        "runtime | first     | first since ?        | first since ? @now       | first     | 1 0 - now",
        "store   | first     | first                | first @now               | first     | 1 0 - now",
        "staging | first     | first since today    | first since today @now   | first     | 1 0 - now",
        "shop    | first     | first since ?        | first since ? @now       | -         | 1 0 - now",
    ]),
    ("what the source cannot know", GoPage, &[Start, Pass(10)],
        "200, measured now, absent runtime.gc_pause_ns | healthy", &[
        "runtime | 8 2 4 10 13 5 - | 8 2 4 10 13 5 - since ? | 8 2 4 10 13 5 - since ? @now | 8 2 4 10 13 5 0 | 1 0 - now",
    ]),
    // ---- never, stale, expired -------------------------------------------------------------------------------------
    ("runtime never", Document, &[Lie("runtime", "-1"), Start, Pass(10)],
        "503, runtime: not read yet, missing all, last error: range | unhealthy", &[
        "runtime | -         | -                    | -                        | -         | 0 3 range=2 -",
    ]),
    ("store never", Document, &[Lie("store", "-1"), Start, Pass(10)],
        "503, store: not read yet, missing all, last error: range | unhealthy", &[
        "store   | -         | -                    | -                        | -         | 0 3 range=2 -",
    ]),
    ("staging never", Document, &[Lie("staging", "-1"), Start, Pass(10)],
        "503, staging: not read yet, missing all, last error: range | unhealthy", &[
        "staging | -         | -                    | -                        | -         | 0 3 range=2 -",
    ]),
    ("shop never", Document, &[Away("shop"), Start, Pass(10)], "200, measured now | degraded", &[
        "shop    | -         | -                    | -                        | -         | 0 3 not_found=4 -",
    ]),
    ("a collection never", Database, &[Away("products"), Start, Pass(10)],
        "503, store: not read yet, missing products, last error: not_found | unhealthy", &[
        "store   | - 3 4 5 6 | - 3 4 5 6            | - 3 4 5 6 @now           | -         | 0 3 not_found=2 -",
    ]),
    ("staging never", Database, &[Away("staging"), Start, Pass(10)],
        "503, staging: not read yet, missing all, last error: not_found | unhealthy", &[
        "staging | -         | -                    | -                        | -         | 0 3 not_found=2 -",
    ]),
    ("runtime stale", Document, &[Start, Lie("runtime", "-1"), Pass(301)],
        "200, measured 0, stale runtime | degraded", &[
        "runtime | first     | first since ?        | first since ? @0         | first     | 0 1 range=1 0",
    ]),
    ("runtime stale, and too old for a push", Document, &[Start, Lie("runtime", "-1"), Pass(1801)],
        "200, measured 0, stale runtime | degraded", &[
        "runtime | first     | first since ?        | -                        | first     | 0 1 range=1 0",
    ]),
    ("runtime expired", Document, &[Start, Lie("runtime", "-1"), Pass(3601)],
        "503, runtime: expired, last read 0, last error: range | unhealthy", &[
        "runtime | -         | -                    | -                        | -         | 0 2 range=1 0",
    ]),
    ("store stale", Document, &[Start, Lie("store", "-1"), Pass(301)], "200, measured 0, stale store | degraded", &[
        "store   | first     | first                | first @0                 | first     | 0 1 range=1 0",
    ]),
    ("store stale, and too old for a push", Document, &[Start, Lie("store", "-1"), Pass(1801)],
        "200, measured 0, stale store | degraded", &[
        "store   | first     | first                | -                        | first     | 0 1 range=1 0",
    ]),
    ("store expired", Document, &[Start, Lie("store", "-1"), Pass(3601)],
        "503, store: expired, last read 0, last error: range | unhealthy", &[
        "store   | -         | -                    | -                        | -         | 0 2 range=1 0",
    ]),
    ("staging stale", Document, &[Start, Lie("staging", "-1"), Pass(301)],
        "200, measured 0, stale staging | degraded", &[
        "staging | first     | first since today    | first since today @0     | first     | 0 1 range=1 0",
    ]),
    ("staging stale, and too old for a push", Document, &[Start, Lie("staging", "-1"), Pass(1801)],
        "200, measured 0, stale staging | degraded", &[
        "staging | first     | first since today    | -                        | first     | 0 1 range=1 0",
    ]),
    ("staging expired", Document, &[Start, Lie("staging", "-1"), Pass(3601)],
        "503, staging: expired, last read 0, last error: range | unhealthy", &[
        "staging | -         | -                    | -                        | -         | 0 2 range=1 0",
    ]),
    ("shop stale", Document, &[Start, Away("shop"), Pass(301)], "200, measured now | degraded", &[
        "shop    | first     | first since ?        | first since ? @0         | -         | 0 1 not_found=2 0",
    ]),
    ("shop stale, and too old for a push", Document, &[Start, Away("shop"), Pass(1801)],
        "200, measured now | degraded", &[
        "shop    | first     | first since ?        | -                        | -         | 0 1 not_found=2 0",
    ]),
    ("shop expired", Document, &[Start, Away("shop"), Pass(3601)], "200, measured now | degraded", &[
        "shop    | -         | -                    | -                        | -         | 0 2 not_found=2 0",
    ]),
    ("a collection stale", Database, &[Start, Away("products"), Pass(301)],
        "200, measured 0, stale store | degraded", &[
        "store   | 1 3 4 5 6 | 1 3 4 5 6            | 1 3 4 5 6 @0,now,now,now,now | 1 3 4 5 6 | 0 1 not_found=1 0",
    ]),
    ("a collection expired", Database, &[Start, Away("products"), Pass(3601)],
        "503, store: expired, last read 0, last error: not_found | unhealthy", &[
        "store   | - 3 4 5 6 | - 3 4 5 6            | - 3 4 5 6 @now           | -         | 0 2 not_found=1 0",
    ]),
    ("staging stale", Database, &[Start, Away("staging"), Pass(301)], "200, measured 0, stale staging | degraded", &[
        "staging | first     | first since today    | first since today @0     | first     | 0 1 not_found=1 0",
    ]),
    ("staging expired", Database, &[Start, Away("staging"), Pass(3601)],
        "503, staging: expired, last read 0, last error: not_found | unhealthy", &[
        "staging | -         | -                    | -                        | -         | 0 2 not_found=1 0",
    ]),
    // ---- restarted -------------------------------------------------------------------------------------------------
    ("runtime restarted", Document, &[Start, Pass(10), Say("runtime", "restarted"), Pass(10)],
        "200, measured now | healthy", &[
        "runtime | restarted | restarted since 10   | restarted since 10 @now  | restarted | 1 0 - now",
    ]),
    ("runtime restarted and grown", Document, &[Start, Pass(10), Say("runtime", "restarted"), Pass(10), Say("runtime", "second"), Pass(10)],
        "200, measured now | healthy", &[
        "runtime | second    | second since 10      | second since 10 @now     | second    | 1 0 - now",
    ]),
    ("runtime restarted", GoPage, &[Start, Pass(10), Say("runtime", "restarted"), Pass(10)],
        "200, measured now, absent runtime.gc_pause_ns | healthy", &[
        "runtime | 5 2 1 1 12 0 - | 5 2 1 1 12 0 - since 10 | 5 2 1 1 12 0 - since 10 @now | restarted | 1 0 - now",
    ]),
    ("staging restarted", Document, &[Start, Pass(10), Say("staging", "restarted"), Pass(10)],
        "200, measured now | healthy", &[
        "staging | restarted | restarted since today | restarted since today @now | restarted | 1 0 - now",
    ]),
    ("staging restarted and resumed", Document, &[Start, Pass(10), Say("staging", "restarted"), Pass(10), Say("staging", "resumed"), Pass(10)],
        "200, measured now | healthy", &[
        "staging | resumed   | resumed since today  | resumed since today @now | resumed   | 1 0 - now",
    ]),
    ("shop restarted", Document, &[Start, Pass(10), Say("shop", "restarted"), Pass(10)],
        "200, measured now | healthy", &[
        "shop    | restarted | restarted since 10   | restarted since 10 @now  | -         | 1 0 - now",
    ]),
    // ---- lying -----------------------------------------------------------------------------------------------------
    ("runtime: negative", Document, &[Start, Lie("runtime", "-1"), Pass(10)], "200, measured 0 | degraded", &[
        "runtime | first     | first since ?        | first since ? @0         | first     | 0 0 range=1 0",
    ]),
    ("store: negative", Document, &[Start, Lie("store", "-1"), Pass(10)], "200, measured 0 | degraded", &[
        "store   | first     | first                | first @0                 | first     | 0 0 range=1 0",
    ]),
    ("staging: negative", Document, &[Start, Lie("staging", "-1"), Pass(10)], "200, measured 0 | degraded", &[
        "staging | first     | first since today    | first since today @0     | first     | 0 0 range=1 0",
    ]),
    ("runtime: NaN", Document, &[Start, Lie("runtime", "\"NaN\""), Pass(10)], "200, measured 0 | degraded", &[
        "runtime | first     | first since ?        | first since ? @0         | first     | 0 0 type=1 0",
    ]),
    ("store: NaN", Document, &[Start, Lie("store", "\"NaN\""), Pass(10)], "200, measured 0 | degraded", &[
        "store   | first     | first                | first @0                 | first     | 0 0 type=1 0",
    ]),
    ("staging: NaN", Document, &[Start, Lie("staging", "\"NaN\""), Pass(10)], "200, measured 0 | degraded", &[
        "staging | first     | first since today    | first since today @0     | first     | 0 0 type=1 0",
    ]),
    ("runtime: text", Document, &[Start, Lie("runtime", "\"many\""), Pass(10)], "200, measured 0 | degraded", &[
        "runtime | first     | first since ?        | first since ? @0         | first     | 0 0 type=1 0",
    ]),
    ("store: text", Document, &[Start, Lie("store", "\"many\""), Pass(10)], "200, measured 0 | degraded", &[
        "store   | first     | first                | first @0                 | first     | 0 0 type=1 0",
    ]),
    ("staging: text", Document, &[Start, Lie("staging", "\"many\""), Pass(10)], "200, measured 0 | degraded", &[
        "staging | first     | first since today    | first since today @0     | first     | 0 0 type=1 0",
    ]),
    ("runtime: float", Document, &[Start, Lie("runtime", "7.5"), Pass(10)], "200, measured 0 | degraded", &[
        "runtime | first     | first since ?        | first since ? @0         | first     | 0 0 type=1 0",
    ]),
    ("store: float", Document, &[Start, Lie("store", "7.5"), Pass(10)], "200, measured 0 | degraded", &[
        "store   | first     | first                | first @0                 | first     | 0 0 type=1 0",
    ]),
    ("staging: float", Document, &[Start, Lie("staging", "7.5"), Pass(10)], "200, measured 0 | degraded", &[
        "staging | first     | first since today    | first since today @0     | first     | 0 0 type=1 0",
    ]),
    ("runtime: 2^63", Document, &[Start, Lie("runtime", "9223372036854775808"), Pass(10)],
        "200, measured 0 | degraded", &[
        "runtime | first     | first since ?        | first since ? @0         | first     | 0 0 range=1 0",
    ]),
    ("store: 2^63", Document, &[Start, Lie("store", "9223372036854775808"), Pass(10)],
        "200, measured 0 | degraded", &[
        "store   | first     | first                | first @0                 | first     | 0 0 range=1 0",
    ]),
    ("staging: 2^63", Document, &[Start, Lie("staging", "9223372036854775808"), Pass(10)],
        "200, measured 0 | degraded", &[
        "staging | first     | first since today    | first since today @0     | first     | 0 0 range=1 0",
    ]),
    ("runtime: missing", Document, &[Start, Lie("runtime", "missing"), Pass(10)], "200, measured 0 | degraded", &[
        "runtime | first     | first since ?        | first since ? @0         | first     | 0 0 missing=1 0",
    ]),
    ("store: missing", Document, &[Start, Lie("store", "missing"), Pass(10)], "200, measured 0 | degraded", &[
        "store   | first     | first                | first @0                 | first     | 0 0 missing=1 0",
    ]),
    ("staging: missing", Document, &[Start, Lie("staging", "missing"), Pass(10)], "200, measured 0 | degraded", &[
        "staging | first     | first since today    | first since today @0     | first     | 0 0 missing=1 0",
    ]),
    ("runtime: null", Document, &[Start, Lie("runtime", "null"), Pass(10)], "200, measured 0 | degraded", &[
        "runtime | first     | first since ?        | first since ? @0         | first     | 0 0 type=1 0",
    ]),
    ("store: null", Document, &[Start, Lie("store", "null"), Pass(10)], "200, measured 0 | degraded", &[
        "store   | first     | first                | first @0                 | first     | 0 0 type=1 0",
    ]),
    ("staging: null", Document, &[Start, Lie("staging", "null"), Pass(10)], "200, measured 0 | degraded", &[
        "staging | first     | first since today    | first since today @0     | first     | 0 0 type=1 0",
    ]),
    ("a NaN that no JSON has", Document, &[Start, Lie("runtime", "NaN"), Pass(10)], "200, measured 0 | degraded", &[
        "runtime | first     | first since ?        | first since ? @0         | first     | 0 0 syntax=1 0",
        "store   | first     | first                | first @0                 | first     | 0 0 syntax=1 0",
        "staging | first     | first since today    | first since today @0     | first     | 0 0 syntax=1 0",
    ]),
    ("runtime: NaN", GoPage, &[Start, Lie("runtime", "NaN"), Pass(10)],
        "200, measured 0, absent runtime.gc_pause_ns | degraded", &[
        "runtime | 7 2 3 9 12 4 - | 7 2 3 9 12 4 - since ? | 7 2 3 9 12 4 - since ? @0 | 7 2 3 9 12 4 0 | 0 0 type=1 0",
    ]),
    ("runtime: negative", GoPage, &[Start, Lie("runtime", "-1"), Pass(10)],
        "200, measured 0, absent runtime.gc_pause_ns | degraded", &[
        "runtime | 7 2 3 9 12 4 - | 7 2 3 9 12 4 - since ? | 7 2 3 9 12 4 - since ? @0 | 7 2 3 9 12 4 0 | 0 0 range=1 0",
    ]),
    ("runtime: missing", GoPage, &[Start, Lie("runtime", "missing"), Pass(10)],
        "200, measured 0, absent runtime.gc_pause_ns | degraded", &[
        "runtime | 7 2 3 9 12 4 - | 7 2 3 9 12 4 - since ? | 7 2 3 9 12 4 - since ? @0 | 7 2 3 9 12 4 0 | 0 0 missing=1 0",
    ]),
    ("shop: negative", Document, &[Start, Lie("shop", "-1"), Pass(10)], "200, measured now | degraded", &[
        "shop    | -6 9      | -6 9 since ?         | -6 9 since ? @now,0      | -         | 0 0 range=1 0",
    ]),
    ("shop: NaN", Document, &[Start, Lie("shop", "'NaN'"), Pass(10)], "200, measured now | degraded", &[
        "shop    | -6 9      | -6 9 since ?         | -6 9 since ? @now,0      | -         | 0 0 range=1 0",
    ]),
    ("shop: text", Document, &[Start, Lie("shop", "'many'"), Pass(10)], "200, measured now | degraded", &[
        "shop    | -6 9      | -6 9 since ?         | -6 9 since ? @now,0      | -         | 0 0 type=1 0",
    ]),
    ("shop: float, which is no lie here", Document, &[Start, Lie("shop", "9.5"), Pass(10)],
        "200, measured now | healthy", &[
        "shop    | -6 9.5    | -6 9.5 since ?       | -6 9.5 since ? @now      | -         | 1 0 - now",
    ]),
    ("shop: 2^63, which is no lie here", Document, &[Start, Lie("shop", "'9223372036854775808'"), Pass(10)],
        "200, measured now | healthy", &[
        "shop    | -6 9223372036854775808 | -6 9223372036854775808 since ? | -6 9223372036854775808 since ? @now | -         | 1 0 - now",
    ]),
    ("shop: null, which is no series", Document, &[Start, Lie("shop", "NULL"), Pass(10)],
        "200, measured now | healthy", &[
        "shop    | -6 -      | -6 -                 | -6 - @now                | -         | 1 0 - now",
    ]),
    ("shop: missing", Document, &[Start, Away("shop"), Pass(10)], "200, measured now | degraded", &[
        "shop    | first     | first since ?        | first since ? @0         | -         | 0 0 not_found=2 0",
    ]),
    ("a collection: missing", Database, &[Start, Away("products"), Pass(10)], "200, measured 0 | degraded", &[
        "store   | 1 3 4 5 6 | 1 3 4 5 6            | 1 3 4 5 6 @0,now,now,now,now | 1 3 4 5 6 | 0 0 not_found=1 0",
    ]),
    ("staging: missing", Database, &[Start, Away("staging"), Pass(10)], "200, measured 0 | degraded", &[
        "staging | first     | first since today    | first since today @0     | first     | 0 0 not_found=1 0",
    ]),
    // ---- a panic in a collector ------------------------------------------------------------------------------------
    ("panic", Document, &[Start, Panic("store"), Pass(10)], "200, measured 0 | degraded", &[
        "runtime | first     | first since ?        | first since ? @0         | first     | 0 0 panic=1 0",
        "store   | first     | first                | first @0                 | first     | 0 0 panic=1 0",
        "staging | first     | first since today    | first since today @0     | first     | 0 0 panic=1 0",
    ]),
    ("panic", Document, &[Start, Panic("shop"), Pass(10)], "200, measured now | degraded", &[
        "shop    | first     | first since ?        | first since ? @0         | -         | 0 0 panic=1 0",
    ]),
    ("panic", Database, &[Start, Panic("runtime"), Pass(10)], "200, measured 0 | degraded", &[
        "runtime | first     | first since ?        | first since ? @0         | first     | 0 0 panic=1 0",
    ]),
    ("panic", Database, &[Start, Panic("store"), Pass(10)], "200, measured 0 | degraded", &[
        "store   | first     | first                | first @0                 | first     | 0 0 panic=1 0",
    ]),
    ("panic", Database, &[Start, Panic("staging"), Pass(10)], "200, measured 0 | degraded", &[
        "staging | first     | first since today    | first since today @0     | first     | 0 0 panic=1 0",
    ]),
    ("panic at the first attempt", Database, &[Panic("store"), Start],
        "503, store: not read yet, missing all, last error: panic | unhealthy", &[
        "runtime | first     | first since ?        | first since ? @now       | -         | 1 0 - now",
        "store   | -         | -                    | -                        | -         | 0 3 panic=1 -",
        "staging | first     | first since today    | first since today @now   | -         | 1 0 - now",
        "shop    | first     | first since ?        | first since ? @now       | -         | 1 0 - now",
    ]),
    // ---- midnight --------------------------------------------------------------------------------------------------
    ("at midnight", Document, &[Start, Pass(10), Few(5000, &[])], "200, measured now | healthy", &[
        "staging | midnight  | midnight since today | midnight since today @now,now,midnight,now | midnight  | 1 0 - now",
    ]),
    ("at midnight", Database, &[Start, Pass(10), Few(5000, &[])], "200, measured now | healthy", &[
        "staging | midnight  | midnight since today | midnight since today @now,now,midnight,now | midnight  | 1 0 - now",
    ]),
    ("after midnight", Document, &[Start, Pass(10), Few(5000, &[]), Say("staging", "tomorrow"), Few(1100, DOCUMENT)],
        "200, measured now | healthy", &[
        "staging | tomorrow  | tomorrow since today | tomorrow since today @now | tomorrow  | 1 0 - now",
        "shop    | second    | second since ?       | second since ? @10       | -         | 1 0 - 10",
    ]),
    ("after midnight, with one completed before and one since", Database,
        &[Start, Pass(10), Sql(AROUND_MIDNIGHT), Few(6100, &["staging"])],
        "200, measured 10 | healthy", &[
        "runtime | second    | second since ?       | second since ? @10       | second    | 1 0 - 10",
        "store   | second    | second               | second @10               | second    | 1 0 - 10",
        "staging | 2 3 1 7   | 2 3 1 7 since today  | 2 3 1 7 since today @now | tomorrow  | 1 0 - now",
        "shop    | second    | second since ?       | second since ? @10       | -         | 1 0 - 10",
    ]),
    ("after midnight, and the source lies", Document, &[Start, Pass(10), Lie("staging", "-1"), Few(6100, DOCUMENT)],
        "200, measured 10 | degraded", &[
        "staging | midnight  | midnight since today | midnight since today @10,10,midnight,10 | midnight  | 0 0 range=1 10",
        "shop    | second    | second since ?       | second since ? @10       | -         | 1 0 - 10",
    ]),
    ("long after midnight, stale", Document, &[Start, Pass(10), Lie("staging", "-1"), Pass(301)],
        "200, measured 10, stale staging | degraded", &[
        "staging | midnight  | midnight since today | midnight since today @10,10,midnight,10 | midnight  | 0 1 range=1 10",
    ]),
    ("long after midnight, expired", Document, &[Start, Pass(10), Lie("staging", "-1"), Pass(3601)],
        "503, staging: expired, last read 2024-01-15T23:59:55Z, last error: range | unhealthy", &[
        "staging | -         | -                    | -                        | -         | 0 2 range=1 10",
    ]),
];

/// A line with its padding taken out.
fn plain(line: &str) -> String {
    line.split('|').map(str::trim).collect::<Vec<_>>().join(" | ")
}

/// The cells of a row: of the document and health, then of each section.
fn expected(document: &str, lines: &[&str]) -> Vec<String> {
    let of = |read: &&str| {
        let section = read.split('|').next();
        let line = plain(lines.iter().find(|line| line.split('|').next() == section).unwrap_or(read));
        // Where there is no document, it has no section.
        if document.starts_with("503") { line.replace(" | second | 1 ", " | - | 1 ") } else { line }
    };
    std::iter::once(plain(document)).chain(READ.iter().map(of)).collect()
}

/// How all is when a row's state is over: as when nothing was ever wrong, but for the errors, which stay counted.
fn well_again(seen: &[String]) -> Vec<String> {
    let errors = |line: &str| format!(" {} now", line.split(' ').rev().nth(1).unwrap());
    let well = expected("200, measured now | healthy", &[]).into_iter().zip(seen).enumerate();
    well.map(|(at, (well, seen))| if at == 0 { well } else { well.replace(" - now", &errors(seen)) }).collect()
}

#[tokio::test(start_paused = true)]
async fn every_face_says_of_every_state_what_the_rules_promise_and_all_is_well_after_it() {
    let mut wrong = Vec::new();
    for (state, world, steps, document, lines) in TABLE {
        let mut compare = |when: &str, expected: Vec<String>, seen: &[String]| {
            let pairs = expected.into_iter().zip(seen).filter(|(expected, seen)| expected != *seen);
            wrong.extend(
                pairs.map(|(rules, seen)| format!("{state}, {world:?}{when}\n rules {rules}\n seen  {seen}\n")),
            );
        };
        let is_midnight = state.contains("midnight");
        let mut play = Play::new(*world, steps, is_midnight).await;
        let seen = play.look().await;
        compare("", expected(document, lines), &seen);
        if !document.ends_with(" healthy") && *world != GoPage && !is_midnight {
            play.recover().await;
            compare(", and then well again", well_again(&seen), &play.look().await);
        }
    }
    assert!(wrong.is_empty(), "{} lines are wrong\n{}", wrong.len(), wrong.concat());
}

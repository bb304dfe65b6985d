//! `linkit.staging.completed` over whatever may happen to source, bridge and clock: it never falls, counts nothing
//! twice, and is the true number of completed items wherever the rules promise it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use linkit_bridge::catalog::{FigureId, Section};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::collector::completed::Completed;
use linkit_bridge::collector::sql::{Staging, StagingTable};
use linkit_bridge::collector::telemetry_json::{TelemetryJson, TelemetryJsonConfig};
use linkit_bridge::collector::{Collector, sqlite};
use linkit_bridge::directory::DirectoryError;
use linkit_bridge::http_client::HttpClient;
use linkit_bridge::reading::Ages;
use linkit_bridge::registry::Registry;
use linkit_bridge::state::{Saved, StateDirectory};
use proptest::prelude::*;
use rusqlite::{Connection, params};

use super::bench::SCHEMA;
use crate::support::Directory;

/// 2024-01-15T22:30:00Z: midnight is never far.
const EVENING: Wall = Wall::from_secs(1_705_357_800);
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Items are completed, and written this many seconds later.
    Complete(u64, u64),
    /// The item completed last is deleted.
    Delete,
    /// Seconds pass.
    Pass(u64),
    /// Midnight passes.
    Midnight,
    /// The bridge reads, and keeps its state.
    Read,
    /// The bridge reads, and has not kept its state yet.
    Show,
    /// The backend starts again.
    SourceRestarts,
    /// The bridge stops in order and starts again.
    Restart,
    /// The bridge is killed and starts again.
    Kill,
    /// The bridge's clock is so many seconds off from now on; the backend's is right.
    Clock(i64),
}
use Event::{Clock as SetClock, Complete, Delete, Kill, Midnight, Pass, Read, Restart, Show, SourceRestarts};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Database,
    Document,
}

/// One life of the bridge.
struct Life {
    directory: StateDirectory,
    collector: Box<dyn Collector>,
    completed: Completed,
    registry: Registry,
}

/// A backend, a bridge, and what is true.
struct Scene {
    kind: Kind,
    folder: Directory,
    owner: Option<Connection>,
    document: Arc<Mutex<String>>,
    url: String,
    clock: Arc<ManualClock>,
    /// The true time.
    time: Wall,
    skew: i64,
    life: Option<Life>,
    /// The times of all items that were ever completed.
    ever: Vec<Wall>,
    /// The counter and its start as they were last shown.
    shown: Option<(u64, Wall)>,
}

/// A child that another test has forked holds the lock until it runs its program.
fn opened(path: &Path) -> StateDirectory {
    for _ in 0..10_000 {
        match StateDirectory::open(path) {
            Err(DirectoryError::Taken { .. }) => std::thread::sleep(Duration::from_millis(1)),
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays taken", path.display());
}

impl Scene {
    async fn new(kind: Kind) -> Self {
        let (folder, document) = (Directory::new("completed"), Arc::new(Mutex::new(String::new())));
        let said = Arc::clone(&document);
        let router = Router::new().route("/api/v1/telemetry", get(move || async move { said.lock().unwrap().clone() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let owner = Connection::open(folder.path().join("data.db")).unwrap();
        owner.execute_batch(SCHEMA).unwrap();
        let clock = Arc::new(ManualClock::at(EVENING));
        let mut scene = Self {
            kind,
            folder,
            owner: Some(owner),
            document,
            url,
            clock,
            time: EVENING,
            skew: 0,
            life: None,
            ever: Vec::new(),
            shown: None,
        };
        scene.begin();
        scene
    }

    /// The bridge starts with what was kept, as it does.
    fn begin(&mut self) {
        let directory = opened(&self.folder.path().join("state"));
        let completed = Completed::default();
        let registry = Registry::new(self.clock.clone(), Ages::default(), &[]);
        let now = self.clock.now();
        if let Some(mut saved) = directory.load(now) {
            if let Some(state) = saved.completed.take() {
                completed.restore(state, now);
            }
            registry.restore(saved.into_readings());
        }
        let collector: Box<dyn Collector> = match self.kind {
            Kind::Database => {
                let source = sqlite::source(self.folder.path().join("data.db"));
                let staging = Staging::new(source, StagingTable::default(), Duration::from_secs(5));
                Box::new(staging.counting_on(completed.clone()))
            }
            Kind::Document => {
                let config = TelemetryJsonConfig::new(self.url.clone(), [Section::Staging]);
                Box::new(TelemetryJson::new(config, HttpClient::new()).unwrap().counting_on(completed.clone()))
            }
        };
        let life = Life { directory, collector, completed, registry };
        life.keep(false);
        self.life = Some(life);
    }

    fn owner(&self) -> &Connection {
        self.owner.as_ref().unwrap()
    }

    fn pass(&mut self, time: Duration) {
        self.time = self.time.plus(time);
        self.clock.advance(time);
        self.set_wall();
    }

    fn set_wall(&self) {
        let seconds = Duration::from_secs(self.skew.unsigned_abs());
        let wall = if self.skew < 0 { Wall(self.time.0 - seconds.as_nanos() as u64) } else { self.time.plus(seconds) };
        self.clock.set_wall(wall);
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Complete(items, late) => {
                // An item completed on a day that is over and written afterwards is nobody's promise.
                let time = Wall(self.time.0 - late * 1_000_000_000).max(self.time.day().start());
                for _ in 0..items {
                    let sql = "INSERT INTO staging (status, completed) VALUES ('completed', ?1)";
                    self.owner().execute(sql, params![written(time)]).unwrap();
                    self.ever.push(time);
                }
            }
            Delete => {
                let sql = "DELETE FROM staging WHERE id = (SELECT max(id) FROM staging)";
                self.owner().execute(sql, []).unwrap();
            }
            Pass(seconds) => self.pass(Duration::from_secs(seconds)),
            Midnight => {
                let midnight = self.time.day().next().start();
                self.pass(midnight.since(self.time) + Duration::from_millis(1100));
            }
            Read => {
                self.read().await;
                self.life.as_ref().unwrap().keep(false);
            }
            Show => self.read().await,
            SourceRestarts => {
                self.owner = None;
                self.owner = Some(Connection::open(self.folder.path().join("data.db")).unwrap());
                // The files of a live database are there with the first statement.
                self.owner().execute_batch("SELECT count(*) FROM staging").unwrap();
            }
            Restart => {
                self.life.take().unwrap().keep(true);
                self.begin();
                self.look();
            }
            Kill => {
                self.life = None;
                self.begin();
                // With nothing kept, it is a counter that starts, which its start says.
                self.shown = self.shown.filter(|_| self.life.as_ref().unwrap().completed.last().is_some());
                self.look();
            }
            SetClock(skew) => {
                self.skew = skew;
                self.set_wall();
            }
        }
    }

    async fn read(&mut self) {
        self.say();
        let life = self.life.as_mut().unwrap();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let outcome = life.collector.collect(&clock).await;
        assert!(outcome.errors.is_empty(), "{outcome:?}");
        life.registry.publish(outcome.readings);
        self.look();
    }

    /// What the backend's own endpoint says at this moment.
    fn say(&self) {
        let today = [self.time.day().start(), self.time.day().next().start()].map(written);
        let sql = "SELECT count(*) FROM staging WHERE completed >= ?1 AND completed < ?2";
        let today: i64 = self.owner().query_row(sql, today, |row| row.get(0)).unwrap();
        let measured = self.time.to_rfc3339();
        let staging = format!("{{ \"pending\": 0, \"processing\": 0, \"completed_today\": {today} }}");
        *self.document.lock().unwrap() = format!("{{ \"measured\": \"{measured}\", \"staging\": {staging} }}");
    }

    /// Looks at the counter, if it is there: it must not have fallen, nor started later, nor count more than there is.
    fn look(&mut self) {
        let snapshot = self.life.as_ref().unwrap().registry.current();
        let Some(family) = snapshot.family(FigureId::StagingCompleted.figure().name) else { return };
        let total = snapshot.value(FigureId::StagingCompleted, None).unwrap().to_float() as u64;
        // A clock that was set back behind it leaves it out until the next reading.
        let Some(start) = family.points[0].start.map(Wall).or(self.shown.map(|(_, start)| start)) else { return };
        if let Some((before, began)) = self.shown {
            assert!(total >= before, "the counter fell from {before} to {total}");
            assert!(start <= began, "the counter started anew");
        }
        assert!(total <= self.since(start), "it counts {total}, and there were {}", self.since(start));
        self.shown = Some((total, start));
    }

    fn since(&self, start: Wall) -> u64 {
        self.ever.iter().filter(|time| **time >= start).count() as u64
    }

    /// The counter after another recount with the clock set right, and what it should be.
    async fn in_the_end(&mut self) -> (u64, u64) {
        self.happen(SetClock(0)).await;
        self.pass(HOUR);
        self.happen(Read).await;
        let (total, start) = self.shown.unwrap();
        (total, self.since(start))
    }
}

impl Life {
    fn keep(&self, is_final: bool) {
        let (readings, completed) = (self.registry.held(), self.completed.state());
        self.directory.save(&Saved { is_final, readings, completed, ..Saved::default() }).unwrap();
    }
}

/// A time as PocketBase writes it.
fn written(time: Wall) -> String {
    let milliseconds = time.0 / 1_000_000 % 1000;
    format!("{}.{milliseconds:03}Z", time.to_rfc3339().trim_end_matches('Z').replace('T', " "))
}

async fn live(kind: Kind, events: &[Event]) -> Scene {
    let mut scene = Scene::new(kind).await;
    for event in events {
        scene.happen(*event).await;
    }
    scene
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What a database promises to count exactly.
fn ordinary() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..5_u64, prop_oneof![Just(0), 1..110_u64, 1000..9000_u64]).prop_map(|(items, late)| Complete(items, late)),
        3 => prop_oneof![1..10_u64, 10..4000_u64].prop_map(Pass),
        1 => Just(Midnight),
        4 => Just(Read),
        1 => Just(Show),
        1 => Just(SourceRestarts),
        1 => Just(Restart),
        1 => Just(Kill),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let clock = prop_oneof![-5..5_i64, -9000..9000_i64, Just(80_000), Just(-80_000)];
    prop_oneof![8 => ordinary(), 1 => Just(Delete), 2 => clock.prop_map(SetClock)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn of_a_database_it_is_exact(events in proptest::collection::vec(ordinary(), 0..30)) {
        let (total, truth) = block_on(async { live(Kind::Database, &events).await.in_the_end().await });
        prop_assert_eq!(total, truth);
    }

    #[test]
    fn of_a_document_that_is_read_before_midnight_it_is_exact(
        events in proptest::collection::vec(ordinary(), 0..30),
    ) {
        let events: Vec<_> = events.into_iter().flat_map(|event| [event, Read]).collect();
        let (total, truth) = block_on(async { live(Kind::Document, &events).await.in_the_end().await });
        prop_assert_eq!(total, truth);
    }

    #[test]
    fn whatever_happens_it_never_falls_and_counts_nothing_twice(
        events in proptest::collection::vec(any_event(), 0..30),
        is_database: bool,
    ) {
        // What was shown and not kept when the bridge is killed must be there to be counted again: a document has no
        // figure of yesterday, a database none of what was deleted.
        let is_there = is_database && !events.iter().any(|event| matches!(event, Delete));
        let keeping = |event: &Event| if is_there || !matches!(event, Show) { *event } else { Read };
        let events: Vec<_> = events.iter().map(keeping).collect();
        let kind = if is_database { Kind::Database } else { Kind::Document };
        block_on(async { live(kind, &events).await.in_the_end().await });
    }
}

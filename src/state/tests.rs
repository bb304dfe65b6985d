use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::clock::{Clock, ManualClock, Moment, Wall};
use crate::collector::completed::Completed;
use crate::directory::DirectoryError;
use crate::reading::Reading;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("linkit-bridge-state-{:x}", fastrand::u64(..)));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("state")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn now() -> Moment {
    ManualClock::at(Wall::from_secs(1_705_314_600)).now()
}

fn saved() -> Saved {
    let now = now();
    let taken = now.minus(Duration::from_millis(90_001));
    let mut completed = Completed::default();
    let counter = completed.observe(now.wall.day(), 17, &[]);
    let staging = vec![
        Reading::of_series(FigureId::StagingItems, "state", "pending", 4),
        Reading::of(FigureId::StagingCompletedToday, 17),
        counter,
    ];
    let runtime = vec![Reading::of(FigureId::RuntimeGcCycles, 5), Reading::unknowable(FigureId::RuntimeGcLastPause)];
    let orders = vec![Reading::of_series(FigureId::StoreRecords, "collection", "or\"ders", i64::MAX as u64)];
    let version = Some("1.0.0".to_owned());
    let sources = [Section::Runtime, Section::Store, Section::Staging].map(|section| (section, fingerprint("x")));
    Saved {
        is_final: true,
        sources: sources.into(),
        readings: vec![
            Readings { version, ..Readings::new(Section::Runtime, taken, runtime) },
            Readings::new(Section::Store, taken, orders).of_unit("or\"ders"),
            Readings::new(Section::Staging, taken, staging),
        ],
        completed: completed.state(),
    }
}

#[test]
fn a_state_comes_back_as_it_was() {
    let text = encode(&saved()).unwrap();
    assert!(text.contains(r#""figure":"linkit.staging.completed""#), "{text}");
    assert_eq!(decode(&text, now()).unwrap(), saved());
}

#[test]
fn custom_figures_are_not_kept() {
    let mut with_custom = saved();
    // A name of the document's must not make them its own.
    let section = Section::Custom("store".into());
    let overflow = Reading::of(FigureId::CollectorOverflow, 1);
    with_custom.readings.push(Readings::new(section, now(), vec![overflow]).of_unit("linkit.custom.a"));
    assert_eq!(encode(&with_custom).unwrap(), encode(&saved()).unwrap());
}

#[test]
fn a_part_of_the_text_and_a_changed_one_are_never_another_state() {
    let (text, whole) = (encode(&saved()).unwrap(), saved());
    for end in 0..text.len() {
        let read = decode(&text[..end], now());
        assert!(read.is_err() || read == Ok(whole.clone()), "cut at {end}");
    }
    for at in 0..text.len() {
        for bit in 0..7 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let read = decode(std::str::from_utf8(&bytes).unwrap(), now());
            assert!(read.is_err() || read == Ok(whole.clone()), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn what_another_version_knows_is_left_out_and_an_unknown_format_is_refused() {
    let mut other = saved();
    other.readings.remove(0);
    let text = encode(&saved()).unwrap();
    let resealed = |text: String| {
        let payload = text.split_once("\"payload\":").unwrap().1.trim_end().strip_suffix('}').unwrap();
        let sum = hex(&Sha256::digest(payload));
        let from = text.find("\"sha256\":\"").unwrap() + 10;
        format!("{}{sum}{}", &text[..from], &text[from + 64..])
    };
    let unknown =
        text.replace("linkit.runtime.gc", "linkit.runtime.x").replace("\"completed\":{", "\"more\":1,\"completed\":{");
    assert_eq!(decode(&resealed(unknown), now()).unwrap(), other);
    let newer = text.replace("\"version\":1,\"sha", "\"version\":2,\"sha");
    assert_eq!(decode(&newer, now()), Err(Unreadable::Version(2)));
}

#[test]
fn ages_go_on_by_the_wall_and_a_time_to_come_counts_as_now() {
    let text = encode(&saved()).unwrap();
    let clock = ManualClock::at(Wall::from_secs(1_705_314_600 + 600));
    let taken = decode(&text, clock.now()).unwrap().readings[0].taken;
    assert_eq!(taken.wall, saved().readings[0].taken.wall);
    assert_eq!(clock.now().since(taken), Duration::from_millis(690_001));
    let back = ManualClock::at(Wall::from_secs(1_705_000_000)).now();
    let readings = decode(&text, back).unwrap().readings;
    assert_eq!((readings[0].taken, readings[0].day), (back, back.wall.day()));
}

#[test]
fn a_killed_bridges_own_counter_is_not_shown_before_it_is_read() {
    let figures = |saved: Saved| -> Vec<_> {
        saved.into_readings().iter().flat_map(|unit| &unit.values).map(|reading| reading.figure).collect()
    };
    assert!(figures(saved()).contains(&FigureId::StagingCompleted));
    let killed = figures(Saved { is_final: false, ..saved() });
    assert!(!killed.contains(&FigureId::StagingCompleted) && killed.contains(&FigureId::RuntimeGcCycles));
}

#[test]
fn what_came_from_another_source_is_dropped() {
    let mut state = saved();
    let mut sources = state.sources.clone();
    sources.insert(Section::Staging, fingerprint("y"));
    assert_eq!(state.keep_only(&sources), [Section::Staging]);
    assert_eq!((state.readings.len(), state.completed), (2, None));
}

#[test]
fn a_saved_state_is_loaded_and_a_damaged_one_is_set_aside() {
    let folder = Folder::new();
    let directory = StateDirectory::open(&folder.state()).unwrap();
    assert_eq!(directory.load(now()), None);
    directory.save(&Saved::default()).unwrap();
    // What a crash left in the middle of writing.
    std::fs::write(folder.state().join("state.json.tmp"), "{").unwrap();
    directory.save(&saved()).unwrap();
    assert_eq!(directory.load(now()), Some(saved()));
    let mode = |name: &str| std::fs::metadata(folder.state().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("state.json"), mode("lock")), (0o700, 0o600, 0o600));
    std::fs::write(directory.file(), b"\xff").unwrap();
    assert_eq!(directory.load(now()), None);
    assert_eq!(std::fs::read(folder.state().join("state.json.bad")).unwrap(), b"\xff");
    assert!(!directory.file().exists());
    // A disk that takes nothing, or a file that cannot be replaced, is an error and nothing is left over.
    std::fs::create_dir_all(directory.file().join("x")).unwrap();
    assert!(directory.save(&saved()).is_err());
    assert!(!folder.state().join("state.json.tmp").exists());
}

#[test]
fn a_directory_has_one_owner() {
    let folder = Folder::new();
    let first = StateDirectory::open(&folder.state()).unwrap();
    let error = StateDirectory::open(&folder.state()).unwrap_err().to_string();
    assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
    drop(first);
    StateDirectory::open(&folder.state()).unwrap();
}

#[test]
fn a_directory_that_is_not_ours_alone_is_refused() {
    let folder = Folder::new();
    let allow = |mode| std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o770, 0o702, 0o1777] {
        allow(mode);
        let error = check(&folder.0).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }
    allow(0o755);
    check(&folder.0).unwrap();
    let file = folder.0.join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(check(&file), Err(DirectoryError::NoDirectory { .. })));
    let orphan = folder.0.join("no/such");
    check(&orphan).unwrap();
    let error = StateDirectory::open(&orphan).unwrap_err().to_string();
    assert!(error.contains("whose parent exists"), "{error}");
    if rustix::process::geteuid().as_raw() != 0 {
        assert!(matches!(check(Path::new("/usr")), Err(DirectoryError::Foreign { .. })));
    }
}

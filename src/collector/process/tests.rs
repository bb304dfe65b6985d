use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;
use crate::clock::SystemClock;

/// A sleeping process that ends with the test.
struct Sleeper(Child);

impl Sleeper {
    fn start(program: &Path) -> Self {
        Self(Command::new(program).arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("linkit-bridge-process-{:x}", fastrand::u64(..)));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// `sleep` under a name of its own.
    fn program(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::copy("/bin/sleep", &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

async fn collect(process: &mut Process) -> Result<Vec<Reading>, CollectError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut outcome = process.collect(&clock).await;
    outcome.errors.pop().map_or_else(|| Ok(outcome.readings.remove(0).values), |(_, error)| Err(error))
}

fn value(values: &[Reading], figure: FigureId) -> Option<u64> {
    values.iter().find(|reading| reading.figure == figure).unwrap().value
}

/// Waits until the started program has taken the place of what started it.
async fn found(process: &mut Process) -> Vec<Reading> {
    for _ in 0..100 {
        if let Ok(values) = collect(process).await
            && value(&values, FigureId::RuntimeMemorySys) > Some(1 << 16)
        {
            return values;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{}", collect(process).await.unwrap_err())
}

#[tokio::test]
async fn a_process_is_read_until_it_ends_and_its_pid_is_not_another_one() {
    let sleeper = Sleeper::start(Path::new("/bin/sleep"));
    let mut process = Process::new(Target::Pid(sleeper.id()));
    let values = found(&mut process).await;
    assert_eq!(value(&values, FigureId::RuntimeGoroutines), Some(1));
    assert!(value(&values, FigureId::RuntimeCpus).unwrap() >= 1);
    for unknowable in [
        FigureId::RuntimeHeapAllocated,
        FigureId::RuntimeMemoryAllocated,
        FigureId::RuntimeGcCycles,
        FigureId::RuntimeGcLastPause,
    ] {
        assert_eq!(value(&values, unknowable), None);
    }
    // As if the process had ended and its pid had been given to another.
    process.known.as_mut().unwrap().started -= 1;
    for _ in 0..2 {
        let error = collect(&mut process).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::NotFound);
        assert!(error.message.contains("belongs to another process"), "{error}");
    }
    drop(sleeper);
    let error = collect(&mut process).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::NotFound);
    assert!(error.message.contains("does not run") && error.message.contains("pid_file"), "{error}");
}

#[tokio::test]
async fn one_that_has_ended_is_gone_though_nobody_waited_for_it() {
    let mut sleeper = Sleeper::start(Path::new("/bin/sleep"));
    let mut process = Process::new(Target::Pid(sleeper.id()));
    found(&mut process).await;
    sleeper.0.kill().unwrap();
    for _ in 0..100 {
        match collect(&mut process).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => return assert_eq!(error.class, ErrorClass::NotFound),
        }
    }
    panic!("a process that has ended is still read");
}

#[tokio::test]
async fn a_pid_file_follows_to_the_next_process() {
    let folder = Folder::new();
    let file = folder.0.join("x.pid");
    let mut process = Process::new(Target::PidFile(file.clone()));
    assert_eq!(collect(&mut process).await.unwrap_err().class, ErrorClass::NotFound);
    std::fs::write(&file, "soon\n").unwrap();
    assert_eq!(collect(&mut process).await.unwrap_err().class, ErrorClass::Syntax);
    let first = Sleeper::start(Path::new("/bin/sleep"));
    std::fs::write(&file, format!("{}\nand more\n", first.id())).unwrap();
    found(&mut process).await;
    // The pid is another's, and nobody wrote the file since: it is stale.
    process.known.as_mut().unwrap().started -= 1;
    for _ in 0..2 {
        let error = collect(&mut process).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::NotFound, "{error}");
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, format!("{}\n", first.id())).unwrap();
    collect(&mut process).await.unwrap();
    drop(first);
    assert_eq!(collect(&mut process).await.unwrap_err().class, ErrorClass::NotFound);
    let second = Sleeper::start(Path::new("/bin/sleep"));
    std::fs::write(&file, second.id().to_string()).unwrap();
    found(&mut process).await;
    assert_eq!(process.known.as_ref().unwrap().pid, second.id());
}

#[tokio::test]
async fn a_name_follows_to_the_next_process_and_never_chooses_between_two() {
    let folder = Folder::new();
    let name = "linkit-sleeper-with-a-long-name";
    let program = folder.program(name);
    let mut process = Process::new(Target::Name(name.to_owned()));
    assert_eq!(collect(&mut process).await.unwrap_err().class, ErrorClass::NotFound);
    let first = Sleeper::start(&program);
    found(&mut process).await;
    let second = Sleeper::start(&program);
    collect(&mut process).await.unwrap();
    assert_eq!(process.known.as_ref().unwrap().pid, first.id(), "the process that is known stays the one");
    let error = collect(&mut Process::new(Target::Name(name.to_owned()))).await.unwrap_err();
    assert!(error.message.starts_with("2 processes are called linkit-sleeper"), "{error}");
    drop(first);
    found(&mut process).await;
    assert_eq!(process.known.as_ref().unwrap().pid, second.id());
    drop(second);
    assert_eq!(collect(&mut process).await.unwrap_err().class, ErrorClass::NotFound);
}

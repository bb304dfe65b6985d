//! The command line: arguments → config → app → exit code. Flags are named by the custom of Prometheus exporters.
//!
//! The next command is one `Command`; what it does stands in a file of its own in `cli/`, or in `app`.

mod figures;
mod key;
mod probe;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{App, Reloader};
use crate::clock::SystemClock;
use crate::config::{CONFIG_FILE, Config, Env, unknown_variables};
use crate::demo::{self, Demo, DemoArgs, Overlay};
use crate::logging::{self, Format, Level};
use crate::secret;
use crate::supervisor::Supervisor;
use figures::FiguresArgs;
use key::KeyArgs;
use probe::ProbeArgs;

/// Failed start: an address is taken, a thing it needs is not to be had.
const EXIT_START: u8 = 1;
/// Bad usage or configuration.
const EXIT_USAGE: u8 = 2;

/// Bridges a Linkit backend's telemetry to Prometheus, OpenTelemetry and its documented JSON.
#[derive(Debug, Parser)]
#[command(name = "linkit-bridge", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads the configured sources and serves their figures; the default.
    Serve,
    /// Reads every source once: prints each figure with its method, cost and age, and what would make it cheaper.
    Check,
    /// Makes a key for the server, or the SHA-256 of one; needs no config.
    Key(KeyArgs),
    /// Shows the bridge at work on a simulated shop; needs no config and no backend.
    Demo(DemoArgs),
    /// Lists every figure: its names, unit, kind, attributes and meaning; needs no config.
    Figures(FiguresArgs),
    /// Asks a running bridge whether it is ready: exit code 0 if it is, 1 if not; needs no config.
    Probe(ProbeArgs),
}

#[derive(Clone, Debug, Args)]
struct Flags {
    /// The configuration file (YAML); variables and defaults serve without one.
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    config_file: Option<PathBuf>,
    /// Checks the configuration and exits: 0 if it is good, 2 if not.
    #[arg(long = "config.check", global = true)]
    config_check: bool,
    /// An address to listen on, such as 127.0.0.1:9464, :9464 or unix:/run/linkit-bridge.sock; repeatable.
    #[arg(long = "web.listen-address", value_name = "ADDRESS", global = true)]
    listen: Vec<String>,
    /// Listens on the sockets that systemd passes, instead of addresses.
    #[arg(long = "web.systemd-socket", global = true)]
    systemd_socket: bool,
    /// The path of the scrape page [default: /metrics].
    #[arg(long = "web.telemetry-path", value_name = "PATH", global = true)]
    telemetry_path: Option<String>,
    /// The exporter-toolkit's file for TLS, passwords, headers and a rate limit.
    #[arg(long = "web.config.file", value_name = "FILE", global = true)]
    web_config_file: Option<PathBuf>,
    /// Lets POST /-/reload read the configuration again, as SIGHUP does.
    #[arg(long = "web.enable-lifecycle", global = true)]
    enable_lifecycle: bool,
    /// What is worth a log line.
    #[arg(long = "log.level", value_name = "LEVEL", value_enum, default_value = "info", global = true)]
    log_level: Level,
    /// How a log line looks.
    #[arg(long = "log.format", value_name = "FORMAT", value_enum, default_value = "logfmt", global = true)]
    log_format: Format,
}

/// The command line itself, for what is made from it: the manual page, completions for shells.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// What was built, in the form of the Prometheus exporters. Nothing of when or by whom, so that a build can be repeated.
fn version() -> String {
    let revision = option_env!("BUILD_REVISION").unwrap_or("unknown");
    let features = if cfg!(feature = "malloc") { "malloc" } else { "none" };
    format!(
        "linkit-bridge, version {} (revision: {revision})\n  platform: {}/{}\n  features: {features}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}

/// The environment as text. What is none may be anybody's, but not a setting's: a key must not get lost in silence.
fn texts(environment: impl Iterator<Item = (OsString, OsString)>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for (name, value) in environment {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => _ = texts.insert(name, value),
            Err(_) if name.starts_with("LINKIT_BRIDGE_") || name.starts_with("OTEL_") => {
                anyhow::bail!("{name}: this is no text in UTF-8; set it to one, or unset it")
            }
            Err(_) => {}
        }
    }
    Ok(texts)
}

/// Runs the program to its end, with its arguments and its environment.
pub fn run(args: impl Iterator<Item = OsString>, environment: impl Iterator<Item = (OsString, OsString)>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::DisplayVersion => {
            say(&version());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            // Help is no error; clap prints each where it belongs.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    if let Some(Command::Figures(args)) = &cli.command {
        say(&args.render());
        return ExitCode::SUCCESS;
    }
    if let Some(Command::Probe(args)) = cli.command {
        return probe::run(args);
    }
    let environment = match texts(environment) {
        Ok(environment) => Arc::new(environment),
        Err(problem) => return fail(EXIT_USAGE, &problem),
    };
    let env: Env<'_> = &|name| environment.get(name).cloned();
    logging::start(cli.flags.log_level, cli.flags.log_format);
    for (name, nearest) in unknown_variables(environment.keys().map(String::as_str)) {
        tracing::warn!(variable = name, nearest, "ignored: no setting has this variable");
    }
    if let Some(Command::Key(args)) = &cli.command {
        return key::run(args);
    }
    let config = match load(&cli.flags, env) {
        Ok(config) => config,
        Err(problem) => return fail(EXIT_USAGE, &problem),
    };
    if cli.flags.config_check {
        return match App::new(&config, env, Arc::new(SystemClock::new())) {
            Ok(app) => {
                say(&format!("the configuration is good: {}", app.summary()));
                ExitCode::SUCCESS
            }
            Err(problem) => fail(EXIT_USAGE, &problem),
        };
    }
    raise_open_files();
    with_runtime(async {
        match cli.command {
            Some(Command::Check) => check(&config, env).await,
            Some(Command::Demo(args)) => serve(config, Some(args), &cli.flags, &environment).await,
            // `figures`, `key` and `probe` have returned by now.
            _ => serve(config, None, &cli.flags, &environment).await,
        }
    })
}

/// Runs to its end what needs a runtime.
fn with_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(problem) => return fail(EXIT_START, &problem),
    };
    let code = runtime.block_on(work);
    // A query of SQLite that would not be interrupted must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    code
}

/// The configuration file, if one is named.
fn file(flags: &Flags, env: Env<'_>) -> Option<PathBuf> {
    let named = env(CONFIG_FILE).filter(|name| !name.is_empty()).map(PathBuf::from);
    flags.config_file.clone().or(named)
}

fn load(flags: &Flags, env: Env<'_>) -> anyhow::Result<Config> {
    let mut config = Config::load(file(flags, env).as_deref(), env)?;
    if !flags.listen.is_empty() {
        config.web.listen = Some(flags.listen.clone());
    }
    if flags.systemd_socket {
        config.web.systemd_socket = Some(true);
    }
    if let Some(path) = &flags.telemetry_path {
        config.web.telemetry_path = Some(path.clone());
    }
    if let Some(file) = &flags.web_config_file {
        config.web.config_file = Some(file.clone());
    }
    if flags.enable_lifecycle {
        config.web.enable_lifecycle = Some(true);
    }
    config.check("command line")?;
    Ok(config)
}

/// As many open files as the system grants: each connection is one, and what a process is given at first is often less
/// than a flood takes.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised the server makes do, and says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Two workers do for thousands of figures; more would only hold memory.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .enable_all()
        .build()
        .context("failed to start the runtime; raise the limit of threads or files")
}

/// Exits with 0 if every source was read whole.
async fn check(config: &Config, env: Env<'_>) -> ExitCode {
    let app = match App::new(config, env, Arc::new(SystemClock::new())) {
        Ok(app) => app,
        Err(problem) => return fail(EXIT_USAGE, &problem),
    };
    let checked = app.check().await;
    say(checked.report.trim_end());
    if checked.is_good {
        return ExitCode::SUCCESS;
    }
    fail(EXIT_START, &anyhow::anyhow!("not every source could be read, see above"))
}

async fn serve(
    config: Config,
    demo: Option<DemoArgs>,
    flags: &Flags,
    environment: &Arc<BTreeMap<String, String>>,
) -> ExitCode {
    let (stop, hangup) = match (stop_signal(demo.is_some()), signal(SignalKind::hangup())) {
        (Ok(stop), Ok(hangup)) => (stop, hangup),
        (Err(problem), _) => return fail(EXIT_START, &problem),
        (_, Err(error)) => return fail(EXIT_START, &anyhow::Error::new(error).context("failed to listen for SIGHUP")),
    };
    let clock = Arc::new(SystemClock::new());
    let is_demo = demo.is_some();
    let (config, shop) = match demo {
        None => (config, None),
        Some(args) => match demo::prepare(config, &args, &*clock) {
            Ok((config, shop)) => (config, Some(shop)),
            Err(problem) => return fail(EXIT_START, &problem),
        },
    };
    let env: Env<'_> = &|name| environment.get(name).cloned();
    let app = match App::new(&config, env, Arc::clone(&clock) as _) {
        Ok(app) => app,
        Err(problem) => return fail(EXIT_USAGE, &problem),
    };
    let overlay = shop.as_ref().map(Demo::overlay);
    let app = app
        .reading_again(reading_again(flags.clone(), Arc::clone(environment), overlay))
        .supervised_by(Supervisor::of(env, std::process::id()));
    let listeners = match app.bind() {
        Ok(listeners) => listeners,
        Err(problem) => return fail(EXIT_START, &problem),
    };
    if let Some(shop) = shop {
        say(&shop.welcome(&listeners.places(), app.web_config().is_some_and(|file| file.is_tls())));
        tokio::spawn(shop.run(clock));
    }
    if !is_demo {
        tokio::spawn(reload_at(hangup, app.reloader()));
    }
    app.run(listeners, stop).await;
    ExitCode::SUCCESS
}

/// Reads the configuration as it was read at the start: the file anew, the flags and the environment as they were.
fn reading_again(
    flags: Flags,
    environment: Arc<BTreeMap<String, String>>,
    overlay: Option<Overlay>,
) -> impl Fn() -> anyhow::Result<Config> + Send + Sync + 'static {
    move || {
        let env: Env<'_> = &|name| environment.get(name).cloned();
        if let Some(file) = file(&flags, env)
            && secret::is_pipe(&file)
        {
            anyhow::bail!("{}: a pipe is read once; name a file with --config.file, or restart", file.display());
        }
        let config = load(&flags, env)?;
        Ok(overlay.iter().fold(config, |config, overlay| overlay.laid_over(config)))
    }
}

/// Asks for a reload at each SIGHUP; those that come while one is under way are one more.
async fn reload_at(mut hangup: Signal, reloader: Reloader) {
    while hangup.recv().await.is_some() {
        tracing::info!(signal = "SIGHUP", "reloading the configuration");
        // What came of it is in the log.
        let _ = reloader.reload().await;
    }
}

/// Ends on SIGTERM or SIGINT; a demo, whose terminal may be closed, on SIGHUP too.
fn stop_signal(hangup_stops: bool) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hangup.recv(), if hangup_stops => "SIGHUP",
        };
        tracing::info!(signal = name, "stopping");
    })
}

/// What the user asked for goes to stdout, if there still is one.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The last word of a failed start, in one line, whatever the log format.
fn fail(code: u8, problem: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "linkit-bridge: {problem:#}");
    ExitCode::from(code)
}

//! What one export costs beside OpenTelemetry's own: its periodic reader and OTLP exporter, to the same receiver.
//!
//! Both tell the same series, whose values are new each time, as protobuf by HTTP/1.1 over connections that are kept. The
//! stock exporter has no client of its own here but hyper's, which the bridge's is made of, on the same runtime. The
//! receiver is another process, so that the time of the processor is that of the exporter alone.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use linkit_bridge::catalog::{CUSTOM_PREFIX, CustomFigure, Kind, Section};
use linkit_bridge::clock::{Clock, SystemClock};
use linkit_bridge::delivery::{Batch, Delivery, DeliveryConfig, Destination, SpoolConfig};
use linkit_bridge::http_client::HttpClient;
use linkit_bridge::output::otlp::{Compression, Endpoint, Otlp, OtlpConfig, halve};
use linkit_bridge::reading::{Ages, CustomReading, Number, Readings};
use linkit_bridge::registry::Registry;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Gauge, MeterProvider};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use tokio::runtime::{Handle, Runtime};

use super::{Result, middle};

/// Has a run of this program be the receiver, and nothing else.
const RECEIVER: &str = "LINKIT_BRIDGE_BENCH_RECEIVER";

const ROUNDS: usize = 9;
/// Of each way, in a round.
const EXPORTS: u64 = 20;

/// Series, and those of one figure.
const SIZES: [(usize, usize); 2] = [(40, 10), (1000, 100)];

const WAYS: [&str; 5] = [
    "stock PeriodicReader and OTLP exporter",
    "bridge, from memory, without compression",
    "bridge, from the spool, without compression",
    "bridge, from memory, gzip",
    "bridge, from the spool, gzip",
];

/// Receives, if this run is the receiver: says where, takes everything, and ends with whoever started it.
pub(super) fn receives() -> Result<bool> {
    if std::env::var_os(RECEIVER).is_none() {
        return Ok(false);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let router = Router::new().route("/v1/metrics", post(|_: axum::body::Bytes| async {}));
        axum::serve(listener, router.layer(axum::extract::DefaultBodyLimit::disable())).await?;
        Ok(true)
    })
}

/// The receiver, as long as the value lives.
struct Receiver(Child, String);

impl Receiver {
    fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.env(RECEIVER, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self(child, format!("http://{}", line.trim())))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Time of the processor that the process has had.
fn worked() -> Result<Duration> {
    Ok(rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).try_into()?)
}

/// Exports in turns, and sets the medians of the rounds beside each other.
pub(super) fn exports(runtime: &Runtime, folder: &Path) -> Result<()> {
    let receiver = Receiver::start()?;
    for (series, each) in SIZES {
        let spool = |name: &str| folder.join(format!("export-{series}-{name}"));
        let stock = Stock::new(runtime.handle(), &receiver.1, series / each, each)?;
        let bridge =
            |compression, spool: Option<&Path>| Bridge::new(&receiver.1, compression, spool, series / each, each);
        let bridges = [
            bridge(Compression::None, None)?,
            bridge(Compression::None, Some(&spool("plain")))?,
            bridge(Compression::Gzip, None)?,
            bridge(Compression::Gzip, Some(&spool("gzip")))?,
        ];
        // By way: the processor's time and the time of one export, of each round.
        let mut times: [[Vec<Duration>; 2]; WAYS.len()] = Default::default();
        for round in 0..=ROUNDS as u64 {
            for (way, kept) in times.iter_mut().enumerate() {
                let (mut cpu, mut wall) = (Duration::ZERO, Duration::ZERO);
                for export in 0..EXPORTS {
                    let value = round * EXPORTS + export;
                    let bridge = way.checked_sub(1).map(|bridge| &bridges[bridge]);
                    match bridge {
                        Some(bridge) => bridge.refresh(value),
                        None => stock.refresh(value),
                    }
                    let begun = (worked()?, Instant::now());
                    match bridge {
                        Some(bridge) => runtime.block_on(bridge.export())?,
                        None => stock.provider.force_flush()?,
                    }
                    wall += begun.1.elapsed();
                    cpu += worked()? - begun.0;
                }
                // The first opens connections and fills caches.
                if round > 0 {
                    kept[0].push(cpu / EXPORTS as u32);
                    kept[1].push(wall / EXPORTS as u32);
                }
            }
        }
        for bridge in &bridges {
            bridge.check(series as u64)?;
        }
        let title = format!("one export of {series} series");
        println!("\n{title:50} {:>9} {:>6} {:>9} {:>6}", "processor", "ratio", "time", "ratio");
        for (way, name) in WAYS.iter().enumerate() {
            let cell = |kind: usize| {
                let ratio = |(mine, stock): (&Duration, &Duration)| mine.as_secs_f64() / stock.as_secs_f64();
                let mut ratios: Vec<_> = times[way][kind].iter().zip(&times[0][kind]).map(ratio).collect();
                let median = middle(&mut times[way][kind].clone()).as_secs_f64() * 1e3;
                format!("{median:7.2}ms {:6.2}", middle(&mut ratios))
            };
            println!("{name:50} {} {}", cell(0), cell(1));
        }
    }
    Ok(())
}

const KEYS: [&str; 3] = ["branch", "kind", "region"];

fn figure(at: usize) -> String {
    format!("bench.figure{at}")
}

fn labels(at: usize) -> [String; 3] {
    [format!("branch-{at}"), format!("kind-{}", at % 7), format!("region-{}", at % 3)]
}

fn number(figure: usize, at: usize, round: u64) -> f64 {
    (figure * 1000 + at) as f64 + round as f64 / 8.0
}

/// Hyper's client behind the exporter's seam; the exporter's thread has no reactor, the runtime has.
#[derive(Clone, Debug)]
struct Hyper(Client<HttpConnector, Full<Bytes>>, Handle);

#[async_trait]
impl opentelemetry_http::HttpClient for Hyper {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> std::result::Result<http::Response<Bytes>, opentelemetry_http::HttpError> {
        let sent = self.0.request(request.map(Full::new));
        let answer = self.1.spawn(async move {
            let (parts, body) = sent.await?.into_parts();
            Ok::<_, opentelemetry_http::HttpError>(http::Response::from_parts(parts, body.collect().await?.to_bytes()))
        });
        answer.await?
    }
}

/// The SDK's gauges, which an application sets, and its reader, which is asked for each export.
struct Stock {
    provider: SdkMeterProvider,
    gauges: Vec<(Gauge<f64>, Vec<[KeyValue; 3]>)>,
}

impl Stock {
    fn new(runtime: &Handle, url: &str, figures: usize, each: usize) -> Result<Self> {
        let client = Hyper(Client::builder(TokioExecutor::new()).build_http(), runtime.clone());
        let exporter = MetricExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{url}/v1/metrics"))
            .build()?;
        let reader = PeriodicReader::builder(exporter).with_interval(Duration::from_secs(3600)).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let meter = provider.meter("bench");
        let gauge = |at: usize| {
            let gauge = meter.f64_gauge(format!("{CUSTOM_PREFIX}{}", figure(at))).with_description("A figure.").build();
            let pairs = |at: usize| {
                let mut labels = labels(at).into_iter();
                KEYS.map(|key| KeyValue::new(key, labels.next().unwrap_or_default()))
            };
            (gauge, (0..each).map(pairs).collect())
        };
        Ok(Self { gauges: (0..figures).map(gauge).collect(), provider })
    }

    fn refresh(&self, round: u64) {
        for (figure, (gauge, series)) in self.gauges.iter().enumerate() {
            series.iter().enumerate().for_each(|(at, labels)| gauge.record(number(figure, at, round), labels));
        }
    }
}

/// A push of the bridge, without its timer.
struct Bridge {
    clock: Arc<SystemClock>,
    registry: Registry,
    figures: Vec<Arc<CustomFigure>>,
    each: usize,
    otlp: Otlp,
    delivery: Delivery,
}

impl Bridge {
    fn new(url: &str, compression: Compression, spool: Option<&Path>, figures: usize, each: usize) -> Result<Self> {
        let keys = || KEYS.map(ToOwned::to_owned).to_vec();
        let figures: std::result::Result<Vec<_>, _> = (0..figures)
            .map(|at| CustomFigure::new(&figure(at), Kind::Gauge, "", "A figure.", keys()).map(Arc::new))
            .collect();
        let (clock, figures) = (Arc::new(SystemClock::new()), figures?);
        let registry = Registry::with_custom(clock.clone(), Ages::default(), &[], &figures);
        let endpoint = Endpoint::Base(url.to_owned());
        let otlp = Otlp::new(&OtlpConfig { endpoint, compression, ..OtlpConfig::default() })?;
        let delivery = Delivery::new(DeliveryConfig::default(), HttpClient::new(), clock.clone()).halving(halve);
        if let Some(spool) = spool {
            delivery.open_spool(&SpoolConfig::at(spool.to_owned()))?;
        }
        Ok(Self { clock, registry, figures, each, otlp, delivery })
    }

    fn refresh(&self, round: u64) {
        let (section, taken) = (Section::Custom("bench".into()), self.clock.now());
        let unit = |(at, figure): (usize, &Arc<CustomFigure>)| {
            let series = (0..self.each).map(|label| CustomReading {
                figure: Arc::clone(figure),
                attributes: KEYS.map(ToOwned::to_owned).into_iter().zip(labels(label)).collect(),
                value: Number::Float(number(at, label, round)),
                start: None,
            });
            let readings = Readings::new(section.clone(), taken, Vec::new()).of_unit(figure.name());
            Readings { custom: series.collect(), ..readings }
        };
        self.registry.publish(self.figures.iter().enumerate().map(unit).collect());
    }

    async fn export(&self) -> Result<()> {
        for request in self.otlp.render(&self.registry.current()).await? {
            let batch = Batch { body: request.body, points: request.points, accepted: self.clock.now() };
            self.delivery.put(Destination { uri: request.uri, headers: request.headers }, batch);
        }
        self.delivery.keep().await;
        self.delivery.run(std::future::ready(())).await;
        Ok(())
    }

    /// Whether each export told all series and was taken.
    fn check(&self, series: u64) -> Result<()> {
        let (stats, exports) = (self.delivery.stats(), (ROUNDS as u64 + 1) * EXPORTS);
        let is_whole = stats.delivered.batches == exports && stats.delivered.points >= exports * series;
        if is_whole { Ok(()) } else { Err(format!("not all was delivered: {stats:?}").into()) }
    }
}

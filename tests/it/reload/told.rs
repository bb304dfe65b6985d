//! What an OTLP receiver hears when sources and figures change under a bridge that runs.

use std::io::Read;
use std::sync::Arc;

use linkit_bridge::catalog::{CustomFigure, FigureId, Kind, Section};
use linkit_bridge::clock::{Clock, ManualClock, Wall};
use linkit_bridge::output::otlp::{Endpoint, Otlp, OtlpConfig};
use linkit_bridge::reading::{Ages, CustomReading, Number, Reading, Readings};
use linkit_bridge::registry::{AttemptReport, Change, Registry};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{DataPointFlags, HistogramDataPoint, NumberDataPoint};
use prost::Message;

struct Bench {
    clock: Arc<ManualClock>,
    registry: Registry,
    otlp: Otlp,
}

fn figure(name: &str) -> Arc<CustomFigure> {
    Arc::new(CustomFigure::new(name, Kind::Gauge, "", "A number of the shop", Vec::new()).unwrap())
}

impl Bench {
    fn new(custom: &[Arc<CustomFigure>]) -> Self {
        let clock = Arc::new(ManualClock::at(Wall::from_secs(1_705_314_600)));
        let registry = Registry::with_custom(clock.clone(), Ages::default(), &[], custom);
        let endpoint = Endpoint::Base("http://receiver:4318".into());
        let otlp = Otlp::new(&OtlpConfig { endpoint, ..OtlpConfig::default() }).unwrap();
        Self { clock, registry, otlp }
    }

    fn publish(&self, figure: &Arc<CustomFigure>) {
        let reading =
            CustomReading { figure: Arc::clone(figure), attributes: Vec::new(), value: Number::Int(1), start: None };
        let section = Section::Custom("shop".into());
        let unit = Readings { custom: vec![reading], ..Readings::new(section, self.clock.now(), Vec::new()) };
        self.registry.publish(vec![unit.of_unit(figure.name())]);
    }

    fn change(&self, custom: &[Arc<CustomFigure>], is_kept: &dyn Fn(&Section, &str) -> bool) {
        self.clock.advance(std::time::Duration::from_secs(1));
        let (replaced, ages) = ([Section::Custom("shop".into()), Section::Runtime], Ages::default());
        self.registry.change(&Change {
            ages,
            custom,
            version: Some("2.0".to_owned()),
            sections: &[],
            is_kept,
            replaced: &replaced,
            anew: &[],
        });
    }

    /// The message that the receiver gets now.
    async fn message(&self) -> ExportMetricsServiceRequest {
        self.clock.advance(std::time::Duration::from_secs(1));
        let mut body = Vec::new();
        let request = self.otlp.render(&self.registry.current()).await.unwrap().pop().unwrap();
        flate2::read::GzDecoder::new(&*request.body).read_to_end(&mut body).unwrap();
        ExportMetricsServiceRequest::decode(&*body).unwrap()
    }

    /// The durations of collectors that the receiver hears now.
    async fn durations(&self) -> Vec<HistogramDataPoint> {
        let metrics = self.message().await.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let mut metrics = metrics.flat_map(|scope| scope.metrics);
        let durations = metrics.find(|metric| metric.name == FigureId::CollectorDuration.figure().name);
        match durations.and_then(|metric| metric.data) {
            Some(Data::Histogram(histogram)) => histogram.data_points,
            other => panic!("{other:?}"),
        }
    }

    /// What the receiver hears now: the resource's attributes, and the points with their metrics' names.
    async fn heard(&self) -> (Vec<String>, Vec<(String, NumberDataPoint)>) {
        let message = self.message().await;
        let resource = message.resource_metrics[0].resource.clone().unwrap();
        let metrics = message.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let points = metrics.flat_map(|scope| scope.metrics).flat_map(|metric| {
            let points = match metric.data {
                Some(Data::Gauge(gauge)) => gauge.data_points,
                Some(Data::Sum(sum)) => sum.data_points,
                _ => Vec::new(),
            };
            points.into_iter().map(move |point| (metric.name.clone(), point))
        });
        (resource.attributes.iter().map(|pair| format!("{pair:?}")).collect(), points.collect())
    }
}

fn of<'a>(points: &'a [(String, NumberDataPoint)], name: &str) -> Vec<&'a NumberDataPoint> {
    points.iter().filter(|(held, _)| held == name).map(|(_, point)| point).collect()
}

#[tokio::test]
async fn what_has_gone_is_said_once_and_what_is_new_comes() {
    let (old, new) = (figure("old"), figure("new"));
    let bench = Bench::new(&[Arc::clone(&old)]);
    bench.publish(&old);
    let now = bench.clock.now();
    bench.registry.publish(vec![Readings::new(
        Section::Runtime,
        now,
        vec![Reading::of(FigureId::RuntimeMemoryAllocated, 7), Reading::of(FigureId::RuntimeGoroutines, 3)],
    )]);
    let (_, points) = bench.heard().await;
    assert_eq!(of(&points, old.name()).len(), 1);
    bench.change(&[Arc::clone(&new)], &|_, _| false);
    bench.publish(&new);
    let (resource, points) = bench.heard().await;
    assert!(resource.iter().any(|pair| pair.contains("service.version") && pair.contains("2.0")), "{resource:?}");
    for name in [old.name(), "linkit.runtime.memory.allocated", "linkit.runtime.goroutines"] {
        let gone = of(&points, name);
        assert!(gone.len() == 1 && gone[0].flags == DataPointFlags::NoRecordedValueMask as u32, "{name}: {gone:?}");
    }
    assert!(of(&points, new.name()).len() == 1 && of(&points, new.name())[0].value.is_some());
    let (_, points) = bench.heard().await;
    assert_eq!(of(&points, old.name()).len() + of(&points, "linkit.runtime.goroutines").len(), 0, "said twice");
}

#[tokio::test]
async fn the_durations_of_a_collector_that_has_gone_say_so_once() {
    // Something stays, or there would be no message.
    let stays = [figure("stays")];
    let bench = Bench::new(&stays);
    bench.publish(&stays[0]);
    let report = || {
        let section = Section::Runtime;
        bench.registry.report(&AttemptReport { section, took: std::time::Duration::from_millis(3), errors: &[] });
    };
    bench.registry.attach("go", &[Section::Runtime], &[]);
    report();
    let durations = bench.durations().await;
    assert_eq!((durations.len(), durations[0].flags, durations[0].count), (1, 0, 1));
    // None is left.
    bench.change(&stays, &|_, _| true);
    let durations = bench.durations().await;
    assert_eq!((durations.len(), durations[0].flags, durations[0].count), (1, 1, 0));
    assert!(durations[0].explicit_bounds.len() + 1 == durations[0].bucket_counts.len());
    let metrics = bench.message().await.resource_metrics.remove(0).scope_metrics.remove(0).metrics;
    assert!(metrics.iter().all(|metric| metric.name != FigureId::CollectorDuration.figure().name), "said twice");
    // The same comes back, and goes beside another.
    bench.registry.attach("go", &[Section::Runtime], &[]);
    report();
    assert_eq!(bench.durations().await.len(), 1);
    bench.change(&stays, &|_, _| true);
    bench.registry.attach("process", &[Section::Runtime], &[]);
    report();
    let mut flags: Vec<_> = bench.durations().await.iter().map(|point| point.flags).collect();
    flags.sort_unstable();
    assert_eq!(flags, [0, 1]);
}

#[tokio::test]
async fn an_output_that_is_made_anew_for_the_same_receiver_knows_what_it_was_told() {
    let old = figure("old");
    let mut bench = Bench::new(&[Arc::clone(&old)]);
    bench.publish(&old);
    bench.heard().await;
    bench.change(&[], &|_, _| false);
    let endpoint = Endpoint::Base("http://receiver:4318".into());
    let headers = [("key".to_owned(), "other".into())].into();
    let next = Otlp::new(&OtlpConfig { endpoint, headers, ..OtlpConfig::default() }).unwrap();
    let before = std::mem::replace(&mut bench.otlp, next);
    bench.otlp.go_on_from(before);
    let (_, points) = bench.heard().await;
    assert_eq!(of(&points, old.name())[0].flags, DataPointFlags::NoRecordedValueMask as u32);
}

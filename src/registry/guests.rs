//! The instruments of an embedding program: a provider and a reader of their own.
//!
//! Why not those of the figures: the SDK's pipeline is lost for good once a callback has panicked in it (opentelemetry_sdk
//! 0.33), and a program that shuts its provider down ends what is read of it. Neither may take the figures along.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader as _;
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};
use opentelemetry_sdk::resource::Resource;

use super::instruments::{SharedReader, families};
use super::snapshot::Family;

/// How an embedding program wants an instrument of its own: a view as the SDK's provider takes them, which is where
/// exponential histograms are asked for.
pub type InstrumentView = Box<dyn Fn(&Instrument) -> Option<Stream> + Send + Sync>;

/// An embedding program's provider.
pub(super) struct Guests {
    reader: SharedReader,
    provider: SdkMeterProvider,
    is_lost: AtomicBool,
}

impl Guests {
    pub(super) fn new(resource: Resource, views: Vec<InstrumentView>) -> Self {
        let reader = SharedReader::new();
        let mut builder = SdkMeterProvider::builder().with_reader(reader.clone()).with_resource(resource);
        for view in views {
            builder = builder.with_view(view);
        }
        Self { reader, provider: builder.build(), is_lost: AtomicBool::new(false) }
    }

    pub(super) const fn provider(&self) -> &SdkMeterProvider {
        &self.provider
    }

    /// Collects the instruments, in the SDK's form and as families; nothing, for good, after they could not be once.
    pub(super) fn collect(&self) -> Option<(ResourceMetrics, Vec<Family>)> {
        if self.is_lost.load(Ordering::Relaxed) {
            return None;
        }
        let mut metrics = ResourceMetrics::default();
        let collected = std::panic::catch_unwind(AssertUnwindSafe(|| self.reader.collect(&mut metrics)));
        let error = match collected {
            Ok(Ok(())) => {
                let families = families(&metrics);
                return Some((metrics, families));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a callback panicked".to_owned(),
        };
        self.is_lost.store(true, Ordering::Relaxed);
        tracing::error!(error, "the embedding program's instruments are lost until a restart; mend what it observes");
        None
    }
}

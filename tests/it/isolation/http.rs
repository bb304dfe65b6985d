//! Isolation from sources over HTTP: the documented sections suffer, each alone and several together.

use super::{Camp, EVERY, Hostile, Shop, Siege};
use crate::support::hostile::Host;
use crate::support::hostile::http::{Fault, FaultySource};

/// How a section reads its hostile source.
#[derive(Clone, Copy, Debug)]
pub enum By {
    Json,
    GoPage,
    GoExpvar,
    GoAll,
}

impl By {
    const fn source(self) -> &'static str {
        match self {
            Self::Json => "telemetry_json",
            Self::GoPage | Self::GoExpvar | Self::GoAll => "go",
        }
    }

    const fn keys(self) -> &'static str {
        match self {
            Self::Json | Self::GoAll => "",
            Self::GoPage => ", expvar: false, pprof: false",
            Self::GoExpvar => ", metrics: false, pprof: false",
        }
    }
}

/// The hostile sources of one bridge by section; sections that are not named read the backend's database.
pub type Case = &'static [(&'static str, By, Fault)];

const CASES: &[Case] = &[
    &[("runtime", By::Json, Fault::Refuses)],
    &[("runtime", By::Json, Fault::Hangs)],
    &[("runtime", By::Json, Fault::DripsHead)],
    &[("runtime", By::Json, Fault::DripsBody)],
    &[("runtime", By::Json, Fault::GarbageForHead)],
    &[("runtime", By::Json, Fault::GarbageForBody)],
    &[("runtime", By::Json, Fault::EndlessHead)],
    &[("runtime", By::Json, Fault::AnnouncedGigabyte)],
    &[("runtime", By::Json, Fault::EndlessBody)],
    &[("runtime", By::Json, Fault::GzipBomb)],
    &[("runtime", By::Json, Fault::DeepJson)],
    &[("runtime", By::Json, Fault::ManySeries)],
    &[("runtime", By::Json, Fault::Redirects)],
    &[("runtime", By::GoPage, Fault::Refuses)],
    &[("runtime", By::GoPage, Fault::Hangs)],
    &[("runtime", By::GoPage, Fault::DripsBody)],
    &[("runtime", By::GoPage, Fault::GarbageForBody)],
    &[("runtime", By::GoPage, Fault::EndlessBody)],
    &[("runtime", By::GoPage, Fault::GzipBomb)],
    &[("runtime", By::GoPage, Fault::ManySeries)],
    &[("runtime", By::GoPage, Fault::SeriesThatFit)],
    &[("runtime", By::GoPage, Fault::Redirects)],
    &[("runtime", By::GoExpvar, Fault::DeepJson)],
    &[("runtime", By::GoExpvar, Fault::GzipBomb)],
    &[
        ("runtime", By::GoPage, Fault::ManySeries),
        ("store", By::Json, Fault::Hangs),
        ("staging", By::Json, Fault::DripsBody),
    ],
    &[
        ("runtime", By::GoAll, Fault::EachPage),
        ("store", By::Json, Fault::EndlessBody),
        ("staging", By::Json, Fault::DeepJson),
    ],
    &[
        ("runtime", By::GoAll, Fault::Hangs),
        ("store", By::Json, Fault::EndlessHead),
        ("staging", By::Json, Fault::Redirects),
    ],
    &[
        ("runtime", By::GoPage, Fault::SeriesThatFit),
        ("store", By::Json, Fault::GzipBomb),
        ("staging", By::Json, Fault::Refuses),
    ],
];

impl Hostile for FaultySource {
    fn host(&self) -> Option<&Host> {
        Some(&self.host)
    }

    fn turn(&mut self) {
        self.host.turn();
    }

    fn heal(&mut self) {
        self.host.heal();
    }

    /// By its class of error and no other, however busy the machine is.
    fn classes(&self) -> Vec<&'static str> {
        self.fault.classes().to_vec()
    }

    fn judge(&self, siege: &str) {
        let was_asked = self.host.victims() > 0 || self.fault == Fault::Refuses;
        assert!(was_asked, "{siege}: {:?} was not asked", self.fault);
        assert!(!self.was_followed(), "{siege}: the redirect was followed");
    }
}

/// Adds the sources of a case to a camp.
pub fn add(camp: &mut Camp, case: Case) {
    for (section, by, fault) in case {
        let source = FaultySource::start(*fault);
        let keys = format!("url: '{}', {EVERY}{}", source.url, by.keys());
        let reader = camp.section(section, by.source(), &keys);
        camp.ill(reader, source);
    }
}

async fn case(case: Case) -> String {
    let shop = Shop::open();
    let mut camp = Camp::new(&shop);
    add(&mut camp, case);
    for section in ["store", "staging"] {
        if case.iter().all(|(of, ..)| *of != section) {
            camp.section_that_is_well(section, "sqlite", &shop.keys());
        }
    }
    let name: Vec<_> = case.iter().map(|(_, by, fault)| format!("{by:?} {fault:?}")).collect();
    Siege::run(&name.join(" + "), camp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_source_costs_its_own_section_and_nothing_else() {
    super::each(CASES.iter().map(|sources| case(sources))).await;
}

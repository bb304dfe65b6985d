//! What the push is set by, beside the settings of one endpoint: one endpoint or several, its protocol, its TLS.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{INTERVALS, OtlpSection};

/// The receivers: one, written as a map, or a list of such maps.
#[derive(Clone, Debug, Default)]
pub struct OtlpEndpoints(pub Vec<OtlpSection>);

/// The OTLP protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum OtlpProtocol {
    /// Protobuf bodies over HTTP.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// JSON bodies over HTTP.
    #[serde(rename = "http/json")]
    HttpJson,
    /// gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// The certificates of a push over TLS, all PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    /// The authorities to trust; default the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, with its chain.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// The queue on disk.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolSection {
    /// A directory for this endpoint alone.
    pub dir: Option<PathBuf>,
    /// Most bytes that wait; default 256MiB.
    #[serde(deserialize_with = "crate::yaml::size")]
    pub max_bytes: Option<ByteSize>,
    /// Longest wait; default 72h.
    #[serde(deserialize_with = "crate::yaml::duration")]
    pub max_age: Option<Duration>,
}

impl OtlpProtocol {
    /// The protocol of a name of the specification.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "http/protobuf" => Some(Self::HttpProtobuf),
            "http/json" => Some(Self::HttpJson),
            "grpc" => Some(Self::Grpc),
            _ => None,
        }
    }
}

impl OtlpEndpoints {
    /// What is wrong with the endpoints, if anything is.
    pub(super) fn problem(&self) -> Option<String> {
        let names: Vec<_> = self.0.iter().map(|section| section.name.as_deref()).collect();
        let mut directories = Vec::new();
        for (at, section) in self.0.iter().enumerate() {
            let name = section.name.as_deref();
            if self.0.len() > 1 && name.is_none() {
                return Some("otlp is a list with an endpoint without name; name each, for its figures".to_owned());
            }
            if names[..at].contains(&name) {
                return Some(format!(
                    "otlp has two endpoints called {:?}; name each otherwise",
                    name.unwrap_or_default()
                ));
            }
            if section.interval.is_some_and(|interval| !INTERVALS.contains(&interval)) {
                return Some("otlp.interval must be between 100ms and 24h".to_owned());
            }
            if section.timeout.is_some_and(|timeout| timeout.is_zero()) {
                return Some("otlp.timeout is 0; set the longest time a request may take, such as 10s".to_owned());
            }
            if section.max_request_bytes.is_some_and(|bytes| bytes.as_u64() < 1024) {
                return Some(
                    "otlp.max_request_bytes is less than 1KiB; set what the receiver takes, such as 4MiB".to_owned(),
                );
            }
            let (queue, spool) = (section.queue.unwrap_or_default(), section.spool.as_ref());
            let bytes = [queue.max_bytes, spool.and_then(|spool| spool.max_bytes)];
            let ages = [queue.max_age, spool.and_then(|spool| spool.max_age)];
            if bytes.contains(&Some(ByteSize(0))) || ages.contains(&Some(Duration::ZERO)) {
                return Some(
                    "otlp.queue or otlp.spool has a bound of 0, and would drop everything; set max_bytes, max_age, or \
                     leave them out"
                        .to_owned(),
                );
            }
            match section.spool.as_ref().map(|spool| spool.dir.as_ref()) {
                Some(None) => {
                    return Some("otlp.spool.dir is missing; name a directory for this endpoint alone".to_owned());
                }
                Some(Some(directory)) if directories.contains(&directory) => {
                    return Some(format!(
                        "otlp.spool.dir {} is that of two endpoints; name one for each",
                        directory.display()
                    ));
                }
                directory => directories.extend(directory.flatten()),
            }
        }
        None
    }
}

impl<'de> Deserialize<'de> for OtlpEndpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not an untagged enum: that would lose the place of a mistake.
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = OtlpEndpoints;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an endpoint or a list of endpoints")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                OtlpSection::deserialize(MapAccessDeserializer::new(map)).map(|section| OtlpEndpoints(vec![section]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut sections = Vec::new();
                while let Some(section) = list.next_element()? {
                    sections.push(section);
                }
                Ok(OtlpEndpoints(sections))
            }

            /// A section whose lines are all commented out is there and empty.
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(OtlpEndpoints(vec![OtlpSection::default()]))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Env};

    fn parse(text: &str, env: Env<'_>) -> Result<Config, String> {
        Config::parse("bridge.yml", text, env).map_err(|error| error.to_string())
    }

    fn names(text: &str) -> Vec<Option<String>> {
        parse(text, &|_| None).unwrap().otlp.unwrap().0.into_iter().map(|section| section.name).collect()
    }

    #[test]
    fn one_endpoint_is_a_map_and_several_are_a_list() {
        assert_eq!(names("otlp: { name: a, endpoint: 'http://a' }\n"), [Some("a".to_owned())]);
        assert_eq!(names("otlp: [ { endpoint: 'http://a' } ]\n"), [None]);
        assert_eq!(names("otlp:\n  - name: a\n  - name: b\n"), [Some("a".to_owned()), Some("b".to_owned())]);
        let none = |_: &str| None;
        assert!(parse("otlp: often\n", &none).unwrap_err().starts_with("bridge.yml:1: "));
        let error = parse("otlp:\n  - name: a\n  - name: b\n    tls: { ca: /a }\n", &none).unwrap_err();
        assert!(error.starts_with("bridge.yml:4: unknown key ca; "), "{error}");
    }

    #[test]
    fn a_variable_sets_the_one_endpoint_there_is() {
        let env = |name: &str| (name == "LINKIT_BRIDGE_OTLP_TEMPORALITY").then(|| "delta".to_owned());
        let otlp = parse("otlp: [ { name: a, endpoint: 'http://a' } ]\n", &env).unwrap().otlp.unwrap().0;
        assert!(otlp.len() == 1 && otlp[0].name.is_some() && otlp[0].temporality.is_some());
        assert_eq!(parse("", &env).unwrap().otlp.unwrap().0.len(), 1);
        let error = parse("otlp: [ { name: a }, { name: b } ]\n", &env).unwrap_err();
        assert!(error.contains("LINKIT_BRIDGE_OTLP_* set one endpoint"), "{error}");
    }

    #[test]
    fn each_endpoint_has_a_spool_of_its_own() {
        let of = |a: &str, b: &str| {
            let text =
                format!("otlp: [ {{ name: a, spool: {{ dir: {a} }} }}, {{ name: b, spool: {{ dir: {b} }} }} ]\n");
            parse(&text, &|_| None).map(drop)
        };
        assert_eq!(of("/spool/a", "/spool/b"), Ok(()));
        let error = of("/spool", "/spool").unwrap_err();
        assert!(error.contains("otlp.spool.dir /spool is that of two endpoints"), "{error}");
    }
}

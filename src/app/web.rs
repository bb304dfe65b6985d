//! The server of a config: the service it speaks for, who may read, and how the pages are. Where it listens is in
//! `listen`, whose keys it takes in `keys`.

use std::net::SocketAddr;
use std::sync::Arc;

use super::keys::KeySources;
use super::listen::{self, Listen};
use super::{Fixed, figures};
use crate::config::{Config, Otel};
use crate::output::telemetry_json::JsonConfig;
use crate::server::{FaceConfig, Reloader, Server, ServerConfig, ServerInfo, WebConfigFile};

/// The server, with its keys as they are now.
pub(super) fn server(
    config: &Config,
    keys: &KeySources,
    listen: &Listen,
    resource: &[(String, String)],
    joined: &prometheus::Registry,
    fixed: &Fixed,
    reloader: &Reloader,
) -> anyhow::Result<Server> {
    let default = ServerConfig::default();
    keys.warn(&*fixed.clock);
    let server_config = ServerConfig {
        listen: listen.addresses().to_vec(),
        telemetry_path: config.web.telemetry_path.clone().unwrap_or(default.telemetry_path),
        keys: keys.keys(),
        face: face(config, &fixed.otel),
    };
    let info = ServerInfo {
        service: attribute(resource, "service.name").unwrap_or_default(),
        environment: attribute(resource, "deployment.environment.name").unwrap_or_default(),
        clock: Arc::clone(&fixed.clock),
    };
    let (registry, reloader) = (Arc::clone(&fixed.registry), Some(reloader.clone()));
    let server = Server::with_reloads(server_config, registry, joined.clone(), info, reloader)?;
    Ok(server.with_limits(listen::limits(config)))
}

/// Says which of these addresses are open to more than this host, without anybody having said that it is meant.
pub(super) fn warn_if_open(
    config: &Config,
    web_config: Option<&WebConfigFile>,
    addresses: impl Iterator<Item = SocketAddr>,
) {
    if config.web.metrics_access.is_some() || web_config.is_some_and(WebConfigFile::is_guarded) {
        return;
    }
    for address in addresses.filter(|address| !address.ip().to_canonical().is_loopback()) {
        tracing::warn!(
            %address,
            "the scrape page is open to all who reach this address: set web.metrics_access to key, or to open if it is \
             meant, or web.config_file with users or RequireAndVerifyClientCert"
        );
    }
}

/// The same server under the web configuration that is named, if one is.
pub(super) fn guarded(
    config: &Config,
    server: Server,
    fixed: &Fixed,
) -> anyhow::Result<(Server, Option<WebConfigFile>)> {
    let Some(file) = config.web.config_file.as_deref() else { return Ok((server, None)) };
    let file = WebConfigFile::load(file, Arc::clone(&fixed.clock))?;
    figures::add_web_config(&fixed.registry, file.clone());
    Ok((server.with_web_config(file.clone()), Some(file)))
}

/// The attributes of the service the figures are of. What the config leaves out comes from the `OTEL_*` variables.
pub(super) fn resource(config: &Config, otel: &Otel, port: Option<u16>) -> Vec<(String, String)> {
    let service = &config.service;
    let mut resource = otel.resource.clone();
    let mut set = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            resource.retain(|(held, _)| held != key);
            resource.push((key.to_owned(), value.clone()));
        }
    };
    set("service.name", &service.name);
    set("service.version", &service.version);
    set("deployment.environment.name", &service.environment);
    set("service.instance.id", &service.instance);
    let mut fill = |key: &str, value: String| {
        if !resource.iter().any(|(held, _)| held == key) {
            resource.push((key.to_owned(), value));
        }
    };
    fill("service.name", "linkit".to_owned());
    // As a scrape would label it, so that both ways lead to the same instance; a random id would be a new one each start.
    let host = sysinfo::System::host_name().unwrap_or_else(|_| "localhost".to_owned());
    fill("service.instance.id", port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")));
    resource
}

/// An attribute of the service.
fn attribute(resource: &[(String, String)], key: &str) -> Option<String> {
    resource.iter().find(|(held, _)| held == key).map(|(_, value)| value.clone())
}

/// How the pages are and who may read them: what of the server a reload can change, but for the keys.
pub(super) fn face(config: &Config, otel: &Otel) -> FaceConfig {
    FaceConfig {
        version: attribute(&resource(config, otel, None), "service.version"),
        metrics_access: config.web.metrics_access.unwrap_or_default(),
        json: JsonConfig { version: config.service.version.clone(), megabyte: config.megabyte() },
        page: config.web.page(),
        links: config.web.links(),
        lifecycle: config.web.enable_lifecycle.unwrap_or_default(),
    }
}

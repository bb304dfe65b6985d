//! This host, for a program that runs on it.

use sysinfo::{CpuRefreshKind, RefreshKind, System};

/// The CPUs of this host. Not those that this process may use: a quota of the bridge is not one of the program.
pub(super) fn cpus() -> Option<u64> {
    let kind = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let cpus = System::new_with_specifics(kind).ok()?.cpus().len();
    u64::try_from(cpus).ok().filter(|cpus| *cpus > 0)
}

/// Whether a url's host is this host.
pub(super) fn is_local(host: &str) -> bool {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    plain.eq_ignore_ascii_case("localhost")
        || plain.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_host_and_it_has_cpus() {
        for (host, local) in [
            ("127.0.0.1", true),
            ("127.8.9.1", true),
            ("[::1]", true),
            ("LocalHost", true),
            ("10.0.0.1", false),
            ("[::2]", false),
            ("localhost.example", false),
        ] {
            assert_eq!(is_local(host), local, "{host}");
        }
        assert!(cpus().unwrap() >= 1);
    }
}

//! The address of intake as people write it.

use std::net::{IpAddr, Ipv6Addr};

/// The port of intake, for an address without one.
const DEFAULT_PORT: u16 = 50051;

/// Returns the address with a scheme. One that has a scheme is returned unchanged.
///
/// Without a scheme the connection is in plain text only if the host is this machine and no file of
/// TLS is given: a token must not be readable on a network because a scheme was omitted.
pub(crate) fn with_scheme(given: &str, has_tls_file: bool) -> String {
    let given = given.trim();
    if given.is_empty() || given.contains("://") {
        return given.to_owned();
    }
    let (host, port) = match given.parse::<Ipv6Addr>() {
        Ok(_) => (format!("[{given}]"), None),
        Err(_) => match given.rsplit_once(':') {
            // The last colon of `[::1]` belongs to the host.
            Some((host, port)) if !port.ends_with(']') => (host.to_owned(), Some(port)),
            _ => (given.to_owned(), None),
        },
    };
    let scheme = if is_loopback(&host) && !has_tls_file {
        "http"
    } else {
        "https"
    };
    match port {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}:{DEFAULT_PORT}"),
    }
}

/// Returns whether the host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::with_scheme;

    #[test]
    fn a_scheme_and_a_port_are_added_where_they_are_missing() {
        for (given, plain, with_tls) in [
            ("127.0.0.1:7", "http://127.0.0.1:7", "https://127.0.0.1:7"),
            (
                "localhost",
                "http://localhost:50051",
                "https://localhost:50051",
            ),
            (" LOCALHOST:7 ", "http://LOCALHOST:7", "https://LOCALHOST:7"),
            ("[::1]:7", "http://[::1]:7", "https://[::1]:7"),
            ("[::1]", "http://[::1]:50051", "https://[::1]:50051"),
            ("::1", "http://[::1]:50051", "https://[::1]:50051"),
            ("intake:7", "https://intake:7", "https://intake:7"),
            (
                "10.0.0.1",
                "https://10.0.0.1:50051",
                "https://10.0.0.1:50051",
            ),
            (
                "2001:db8::1",
                "https://[2001:db8::1]:50051",
                "https://[2001:db8::1]:50051",
            ),
            (
                "localhost.example:7",
                "https://localhost.example:7",
                "https://localhost.example:7",
            ),
            ("http://intake:7", "http://intake:7", "http://intake:7"),
            (
                "https://localhost:7",
                "https://localhost:7",
                "https://localhost:7",
            ),
            ("", "", ""),
        ] {
            assert_eq!(with_scheme(given, false), plain, "{given}");
            assert_eq!(with_scheme(given, true), with_tls, "{given} with a CA");
        }
    }
}

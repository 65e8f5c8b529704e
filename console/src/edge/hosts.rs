//! The names under which the console answers. A page of another site can make a browser send
//! requests here under its own name (DNS rebinding); the header `Host` shows that name.

use std::net::SocketAddr;

use thiserror::Error;

/// An invalid value of `--public-host`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{given}` is not a host name; write it as console.example.com or console.example.com:8443 (--public-host)"
)]
pub struct InvalidHost {
    given: String,
}

/// The accepted values of `Host`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// In lower case, with a port, or without one for any port.
    named: Vec<String>,
    /// True if every public host is reached by HTTPS only.
    is_https: bool,
}

impl Hosts {
    /// Returns the given names. `https://` before a name means that browsers reach it by HTTPS, so
    /// cookies are sent by HTTPS only.
    ///
    /// # Errors
    /// [`InvalidHost`] for a value that is not a host with an optional port.
    pub fn parse(given: &[String]) -> Result<Hosts, InvalidHost> {
        let mut hosts = Hosts {
            named: Vec::new(),
            is_https: !given.is_empty(),
        };
        for given in given {
            let name = given.trim();
            let secure = name.strip_prefix("https://");
            let name = secure.unwrap_or_else(|| name.strip_prefix("http://").unwrap_or(name));
            let name = name.strip_suffix('/').unwrap_or(name).to_ascii_lowercase();
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(InvalidHost {
                    given: given.clone(),
                });
            }
            hosts.is_https &= secure.is_some();
            hosts.named.push(name);
        }
        Ok(hosts)
    }

    /// Adds the names by which this machine reaches `address`.
    pub(crate) fn add_local(&mut self, address: SocketAddr) {
        let port = address.port();
        let is_local = address.ip().is_loopback() || address.ip().is_unspecified();
        if is_local {
            for name in ["127.0.0.1", "localhost", "[::1]"] {
                self.named.push(format!("{name}:{port}"));
            }
        }
        if !address.ip().is_unspecified() {
            self.named.push(address.to_string());
        }
    }

    /// Returns true if the console answers to this value of `Host`.
    pub(crate) fn accepts(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.named.iter().any(|named| {
            if has_port(named) {
                *named == host
            } else {
                let name = if has_port(&host) {
                    host.rsplit_once(':').map_or(&*host, |(name, _)| name)
                } else {
                    &*host
                };
                name == named
            }
        })
    }

    /// Returns true if cookies must be sent by HTTPS only.
    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }
}

/// An IPv6 address has colons of its own, in brackets.
fn has_port(host: &str) -> bool {
    match host.rsplit_once(':') {
        Some((_, port)) => !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(given: &[&str]) -> Hosts {
        let given: Vec<String> = given.iter().map(|name| (*name).to_owned()).collect();
        Hosts::parse(&given).unwrap()
    }

    #[test]
    fn only_named_hosts_are_accepted() {
        let mut hosts = hosts(&["console.example.com", "other.example.com:8443"]);
        hosts.add_local("127.0.0.1:50080".parse().unwrap());
        for good in [
            "console.example.com",
            "CONSOLE.example.com:444",
            "other.example.com:8443",
            "127.0.0.1:50080",
            "localhost:50080",
            "[::1]:50080",
        ] {
            assert!(hosts.accepts(good), "{good}");
        }
        for bad in [
            "",
            "evil.example.com",
            "other.example.com",
            "localhost",
            "localhost:50081",
            "127.0.0.1:50080.evil.example.com",
            "console.example.com.evil.example.com",
            "xconsole.example.com",
        ] {
            assert!(!hosts.accepts(bad), "{bad}");
        }
    }

    #[test]
    fn an_address_of_all_interfaces_is_reached_from_this_machine() {
        let mut hosts = Hosts::default();
        hosts.add_local("0.0.0.0:80".parse().unwrap());
        assert!(hosts.accepts("localhost:80") && !hosts.accepts("0.0.0.0:80"));
    }

    #[test]
    fn cookies_need_https_if_every_public_host_has_it() {
        assert!(hosts(&["https://a.example"]).is_https());
        assert!(!hosts(&["https://a.example", "b.example"]).is_https());
        assert!(!hosts(&[]).is_https());
        for bad in ["", "https://", "a b", "a/b"] {
            assert!(Hosts::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}

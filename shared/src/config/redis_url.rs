//! The forms of `DRAFTSMAN_REDIS_URL`.
//!
//! ```text
//! redis://[user:password@]host[:port][/db]                      one server
//! redis://[user:password@]host:port,host:port,…                 seed nodes of one Redis Cluster
//! redis+sentinel://[user:password@]host[:port],…/<master>[/db]  Sentinels of the named master
//! unix://path                                                   one server, by its socket
//! ```
//!
//! `rediss://` and `rediss+sentinel://` use TLS. The user and the password are those of Redis.

use std::fmt;

use redis::{ConnectionInfo, IntoConnectionInfo, RedisError};

use crate::config::problem::BadValue;

/// The description of valid URLs in errors.
const EXPECTED: &str = "a URL like redis://user:password@host:6379/0 (rediss:// for TLS; redis://host:7000,host:7001 for the nodes \
    of a cluster; redis+sentinel://host:26379,host:26379/master-name for Sentinels)";
/// The default port of Sentinels.
const SENTINEL_PORT: &str = ":26379";

/// The address of a Redis deployment. Its `Debug` form hides the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// Returns the whole URL with the password. Use it to connect, never in a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_credentials(&self.0))
    }
}

/// Returns `scheme://***@rest`, or the unchanged text if it has no user part.
pub(crate) fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        (None, Some((_, rest))) => format!("***@{rest}"),
        _ => url.to_owned(),
    }
}

/// Parses a URL of one of the forms in the module documentation.
///
/// # Errors
/// [`BadValue`], without the password, if the URL is invalid.
pub fn parse_redis_url(text: &str) -> Result<RedisUrl, BadValue> {
    match Place::parse(text) {
        Ok(_) => Ok(RedisUrl(text.to_owned())),
        Err(error) => {
            let detail = error
                .detail()
                .map_or(String::new(), |why| format!("; {why}"));
            let given = without_credentials(text);
            Err(BadValue::new(&given, format!("{EXPECTED}{detail}")))
        }
    }
}

/// The parsed parts of a URL.
#[derive(Clone)]
pub(crate) enum Place {
    /// One server, or seed nodes of one cluster. Never empty.
    Nodes(Vec<ConnectionInfo>),
    /// Sentinels, and the connection options of the master without its address.
    Sentinels {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        node: Box<ConnectionInfo>,
    },
}

impl Place {
    pub(crate) fn parse(url: &str) -> Result<Place, RedisError> {
        let bad =
            |why: &'static str| RedisError::from((redis::ErrorKind::InvalidClientConfig, why));
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("no scheme"))?;
        match scheme {
            "redis" | "rediss" => {
                let parts = Parts::of(rest);
                let nodes = parts.hosts.split(',').map(|host| {
                    let node = format!("{scheme}://{}{host}{}", parts.user, parts.path);
                    node.into_connection_info()
                });
                Ok(Place::Nodes(nodes.collect::<Result<_, _>>()?))
            }
            "unix" | "redis+unix" => Ok(Place::Nodes(vec![url.into_connection_info()?])),
            "redis+sentinel" | "rediss+sentinel" => {
                let parts = Parts::of(rest);
                let scheme = scheme.trim_end_matches("+sentinel");
                let mut path = parts.path.trim_start_matches('/').splitn(2, '/');
                let master = path.next().filter(|name| !name.is_empty());
                let master =
                    master.ok_or_else(|| bad("no name of a master behind the Sentinels"))?;
                let db = path.next().unwrap_or("0");
                let sentinels = parts.hosts.split(',').map(|host| {
                    let port = if has_port(host) { "" } else { SENTINEL_PORT };
                    format!("{scheme}://{host}{port}").into_connection_info()
                });
                Ok(Place::Sentinels {
                    sentinels: sentinels.collect::<Result<_, _>>()?,
                    master: master.to_owned(),
                    node: Box::new(
                        format!("{scheme}://{}master/{db}", parts.user).into_connection_info()?,
                    ),
                })
            }
            _ => Err(bad("unknown scheme")),
        }
    }
}

/// The parts of a URL after the scheme.
struct Parts<'a> {
    /// Includes the `@`.
    user: &'a str,
    hosts: &'a str,
    /// Includes the `/`.
    path: &'a str,
}

impl Parts<'_> {
    fn of(rest: &str) -> Parts<'_> {
        let (user, rest) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
        let (hosts, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        Parts { user, hosts, path }
    }
}

/// Returns true if `host:port` has a port. Colons inside brackets belong to an IPv6 address.
fn has_port(host: &str) -> bool {
    host.rsplit(']')
        .next()
        .is_some_and(|tail| tail.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_REDIS_URL;

    #[test]
    fn redis_urls() {
        for good in [
            DEFAULT_REDIS_URL,
            "rediss://u:p@example.com:6380/2",
            "redis://:secret@[::1]:7000",
            "redis://h",
            "redis://u:p@a:7000,b:7001,[::1]:7002",
            "redis+sentinel://a,b:26380/main/3",
            "rediss+sentinel://u:p@[::1]/main",
            "unix:///run/redis.sock",
        ] {
            assert_eq!(parse_redis_url(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "127.0.0.1:6379",
            "http://127.0.0.1",
            "redis://",
            "redis://h:99999",
            "redis://h/notanumber",
            "redis://a:1,",
            "redis+sentinel://a:26379",
            "redis+sentinel://a:26379/",
        ] {
            assert!(parse_redis_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_host_gets_the_user_and_the_master_the_database() {
        let Ok(Place::Nodes(nodes)) = Place::parse("redis://u:p@a:7000,b:7001") else {
            panic!()
        };
        let each: Vec<_> = nodes
            .iter()
            .map(|n| {
                (
                    n.addr().to_string(),
                    n.redis_settings().password().map(str::to_owned),
                )
            })
            .collect();
        let with = |host: &str| (host.to_owned(), Some("p".to_owned()));
        assert_eq!(each, [with("a:7000"), with("b:7001")]);
        let place = Place::parse("redis+sentinel://u:p@a,b:1/main/3");
        let Ok(Place::Sentinels {
            sentinels,
            master,
            node,
        }) = place
        else {
            panic!()
        };
        let hosts: Vec<String> = sentinels.iter().map(|s| s.addr().to_string()).collect();
        assert_eq!(
            (hosts.join(" "), master.as_str()),
            ("a:26379 b:1".to_owned(), "main")
        );
        assert_eq!(sentinels[0].redis_settings().password(), None);
        assert_eq!(
            (node.redis_settings().db(), node.redis_settings().username()),
            (3, Some("u"))
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = parse_redis_url("redis://u:hunter2@h:1").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
        for bad in [
            "redis://u:hunter2@h:99999",
            "http://u:hunter2@h",
            "u:hunter2@h",
            "redis+sentinel://u:hunter2@h",
        ] {
            let said = parse_redis_url(bad).unwrap_err().to_string();
            assert!(!said.contains("hunter2"), "{bad}: {said}");
        }
    }
}

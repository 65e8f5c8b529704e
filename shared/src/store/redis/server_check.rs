//! Checks whether the Redis server meets the requirements.
//!
//! Runs once, on first contact with Redis. Operators configure these requirements, so a mistake
//! must be reported at startup and not at the first lost issue. The checks leave no trace in the
//! data. Nearly all of them use `INFO`, because managed services forbid `CONFIG`. A property that
//! cannot be read counts as correct.
//!
//! # Access rights
//!
//! A Redis user with this rule has exactly the rights that intake and workers need:
//!
//! ```text
//! ACL SETUSER draftsman on >PASSWORD ~{draftsman:* &draftsman:*
//!   +brpop +brpoplpush +del +exists +expireat +get +hdel +hexists +hget +hgetall +hincrby +hkeys
//!   +hlen +hmget +hscan +hset +hsetnx +hvals +incr +lindex +llen +lpop +lpos +lpush +lrange +lrem
//!   +persist +pexpire +pttl +rename +rpoplpush +rpush +set +unlink +zadd +zcard +zcount +zmscore
//!   +zrange +zrangebylex +zrangebyscore +zrem +zremrangebyscore +zscan +zscore +publish
//!   +pubsub|numsub +subscribe +client|info +client|kill +client|unblock +cluster|slots +wait
//!   +info +time +evalsha +script|load
//! ```
//!
//! A URL with a database other than 0 also needs `+select`. A script of ours checks these rights
//! with `redis.acl_check_cmd`, which runs nothing. So running the script also checks the right to
//! run scripts, and no right to `ACL` is needed.

use redis::{ErrorKind, cmd};

use crate::config::REDIS_URL;
use crate::store::redis::error::StoreError;
use crate::store::redis::finding::{Finding, Severity};
use crate::store::redis::keys::{CHANNEL_PATTERN, EVENTS_CHANNEL, KEY_PATTERN, Keys};
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The oldest release that supports scripts with `#!lua`.
const OLDEST_MAJOR: u32 = 7;

/// Each used command as a complete call. Redis extracts its keys as for an execution, and 7.0
/// crashes on a call that is too short. `K` stands for a key, `C` for a channel.
const CALLS: &str = "brpop K 1, brpoplpush K K 1, del K, exists K, expireat K 1, get K, hdel K f, hexists K f, hget K f, hgetall K, \
    hincrby K f 1, hkeys K, hlen K, hmget K f, hscan K 0, hset K f v, hsetnx K f v, hvals K, incr K, lindex K 0, llen K, lpop K, \
    lpos K e, lpush K e, lrange K 0 1, lrem K 0 e, persist K, pexpire K 1, pttl K, rename K K, rpoplpush K K, rpush K e, set K v, unlink K, \
    zadd K 1 m, zcard K, zcount K 0 1, zmscore K m, zrange K 0 1, zrangebylex K - +, zrangebyscore K 0 1, zrem K m, zremrangebyscore K 0 1, \
    zscan K 0, zscore K m, publish C m, pubsub|numsub C, subscribe C, client|info, client|kill id 1 addr a, client|unblock 1, cluster|slots, wait 0 1, info, time";
/// The commands of the check itself. They are not checked, because they already work at that point.
const ASKING: &str = "evalsha, script|load";

impl Shard {
    /// Checks this Redis, logs a warning for each improvable setting, and loads every script. A
    /// Redis that is full later then has the scripts that let work finish.
    ///
    /// # Errors
    /// [`StoreError::Unfit`] with all problems that an operator must fix first.
    /// [`StoreError::Replica`] and other transient errors if Redis cannot be checked yet.
    pub async fn check_server(&self) -> Result<(), StoreError> {
        let info = match self.info().await {
            Ok(info) => info,
            Err(error) => return Err(self.first_contact(error)),
        };
        if let Some(master) = info.master() {
            self.handle.look_elsewhere();
            return Err(StoreError::Replica { master });
        }
        let mut findings = info.findings();
        // An older release would reject our scripts because of their first line.
        if !info.is_too_old() {
            findings.extend(self.fsync_finding(&info).await?);
            findings.extend(self.rights_finding().await?);
        }
        let (refusals, warnings): (Vec<_>, Vec<_>) = findings
            .into_iter()
            .partition(|finding| finding.severity == Severity::Refuse);
        for finding in warnings {
            tracing::warn!(
                found = finding.found,
                change = finding.change,
                "redis can be used, but {}",
                finding.matters
            );
        }
        if refusals.is_empty() {
            Ok(())
        } else {
            Err(StoreError::Unfit(refusals))
        }
    }

    /// Loads every script into Redis. A full Redis loads no new scripts, and finishing work needs
    /// them.
    ///
    /// # Errors
    /// [`StoreError`]. Repeat the call.
    pub async fn load_scripts(&self) -> Result<(), StoreError> {
        for script in script::all() {
            let load = cmd("SCRIPT").arg("LOAD").arg(script.source()).to_owned();
            let _: String = self.handle.command("load scripts", &load).await?;
        }
        Ok(())
    }

    /// Returns the run id of Redis. A different one means a restart or a failover. Empty if the
    /// user lacks the right.
    ///
    /// # Errors
    /// [`StoreError::Replica`] if the server rejects writes. Other errors if Redis is unavailable.
    pub async fn run_id(&self) -> Result<String, StoreError> {
        let info = self.info().await?;
        match info.master() {
            Some(master) => {
                self.handle.look_elsewhere();
                Err(StoreError::Replica { master })
            }
            None => Ok(info.get("run_id").unwrap_or_default().to_owned()),
        }
    }

    /// Returns the output of `INFO`; empty if the user lacks the right.
    async fn info(&self) -> Result<Info, StoreError> {
        match self.handle.command("info", &cmd("INFO")).await {
            // A later check covers all rights at once.
            Err(error) if code_of(&error) == Some("NOPERM") => Ok(Info(String::new())),
            answer => answer.map(Info),
        }
    }

    /// Converts an error of the first call: wrong credentials are permanent.
    fn first_contact(&self, error: StoreError) -> StoreError {
        let StoreError::Redis { source, .. } = &error else {
            return error;
        };
        let user = self.handle.user();
        let (found, matters) = if source.kind() == ErrorKind::AuthenticationFailed {
            (
                format!("redis refuses user {user} with this password"),
                "nothing can be read or written",
            )
        } else if source.code() == Some("NOAUTH") {
            (
                "redis asks for a password and was given none".to_owned(),
                "nothing can be read or written",
            )
        } else {
            return error;
        };
        let change = format!(
            "set {REDIS_URL} to redis://<user>:<password>@<host>:<port> with a user and password that this \
             server has (a server without any takes none)"
        );
        StoreError::Unfit(vec![Finding::refuse(found, matters, change)])
    }

    /// Checks when the append-only file is synced to disk. Only `CONFIG` returns it.
    async fn fsync_finding(&self, info: &Info) -> Result<Option<Finding>, StoreError> {
        if info.get("aof_enabled") != Some("1") {
            return Ok(None);
        }
        let asked = cmd("CONFIG").arg("GET").arg("appendfsync").to_owned();
        let answer: Result<Vec<String>, _> = self.handle.command("appendfsync", &asked).await;
        match answer {
            Ok(answer) if answer.get(1).is_some_and(|value| value == "no") => {
                Ok(Some(Finding::warn(
                    "appendfsync is no".to_owned(),
                    "what was accepted in the last half minute or more is lost when its machine stops",
                    "set `appendfsync everysec` in redis.conf, or `CONFIG SET appendfsync everysec`"
                        .to_owned(),
                )))
            }
            Ok(_) => Ok(None),
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => {
                tracing::debug!(error = crate::error::chain(&error), "appendfsync is not known");
                Ok(None)
            }
        }
    }

    /// Loads the scripts and runs the one that checks the required rights.
    async fn rights_finding(&self) -> Result<Option<Finding>, StoreError> {
        let asked = async {
            self.load_scripts().await?;
            let key = [self.keys.fence()];
            let mut reply = self
                .handle
                .script(&script::PROBE_RIGHTS, &key, |probe| {
                    for call in calls(&self.keys) {
                        probe.arg(call);
                    }
                })
                .await?;
            match reply.outcome() {
                "ok" => reply.take::<Vec<String>>(),
                "unknown" => {
                    tracing::debug!("this server does not tell what its user may do");
                    Ok(Vec::new())
                }
                _ => Err(reply.unknown()),
            }
        };
        let found = match asked.await {
            Ok(refused) if refused.is_empty() => return Ok(None),
            Ok(refused) => format!("it may not do: {}", refused.join(", ")),
            Err(error) => match (code_of(&error), &error) {
                (Some("NOPERM"), StoreError::Redis { source, .. }) => source
                    .detail()
                    .unwrap_or("it may not run scripts")
                    .to_owned(),
                _ => return Err(error),
            },
        };
        let user = self.handle.user();
        Ok(Some(Finding::refuse(
            format!("redis user {user} lacks rights ({found})"),
            "issues could not be accepted or worked on",
            format!("as an administrator: ACL SETUSER {user} {}", rule()),
        )))
    }
}

fn code_of(error: &StoreError) -> Option<&str> {
    match error {
        StoreError::Redis { source, .. } => source.code(),
        _ => None,
    }
}

/// Returns the names of all used commands in the syntax of ACL rules.
fn commands() -> impl Iterator<Item = &'static str> {
    let calls = CALLS.split(", ").chain(ASKING.split(", "));
    calls.filter_map(|call| call.split(' ').next())
}

/// Returns the required rights of a user, without the password, in the syntax of `ACL SETUSER`.
fn rule() -> String {
    let commands: Vec<String> = commands().map(|command| format!("+{command}")).collect();
    format!("~{KEY_PATTERN} &{CHANNEL_PATTERN} {}", commands.join(" "))
}

/// Returns the calls to check, each as a line of words.
fn calls(keys: &Keys) -> impl Iterator<Item = String> {
    let key = keys.fence();
    CALLS.split(", ").map(move |call| {
        let words = call.split([' ', '|']).map(|word| match word {
            "K" => &key,
            "C" => EVENTS_CHANNEL,
            word => word,
        });
        words.collect::<Vec<&str>>().join(" ")
    })
}

/// The output of `INFO`.
struct Info(String);

impl Info {
    fn get(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines();
        lines
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    }

    fn is_too_old(&self) -> bool {
        let version = self.get("redis_version");
        let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        major.is_some_and(|major| major < OLDEST_MAJOR)
    }

    /// Returns the address of the master if this server is a replica.
    fn master(&self) -> Option<String> {
        let part = |name| self.get(name).unwrap_or("?");
        (self.get("role") == Some("slave"))
            .then(|| format!("{}:{}", part("master_host"), part("master_port")))
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        for name in ["redis_version", "maxmemory_policy", "aof_enabled"] {
            if self.get(name).is_none() {
                tracing::debug!(name, "redis does not tell; not checked");
            }
        }
        let mut findings = Vec::new();
        if self.is_too_old() {
            // Valkey reports the compatible Redis version.
            let version = self.get("redis_version").unwrap_or_default();
            findings.push(Finding::refuse(
                format!("redis_version is {version}"),
                "its scripts lack what Draftsman needs",
                format!("use Redis {OLDEST_MAJOR}.0 or later, or Valkey"),
            ));
        }
        findings.extend(self.eviction());
        if self.get("aof_enabled") == Some("0") {
            findings.push(Finding::warn(
                "appendonly is no".to_owned(),
                "what is accepted is lost with its process",
                "set `appendonly yes` in redis.conf, or `CONFIG SET appendonly yes`".to_owned(),
            ));
        }
        findings
    }

    /// Only `allkeys-…` with a memory limit evicts acknowledged data. Required keys have no expiry,
    /// so `volatile-…` does not evict them.
    fn eviction(&self) -> Option<Finding> {
        let policy = self
            .get("maxmemory_policy")
            .filter(|policy| *policy != "noeviction")?;
        let limit = self.get("maxmemory").unwrap_or("0");
        let found = format!("maxmemory-policy is {policy} with maxmemory {limit}");
        let change =
            "set `maxmemory-policy noeviction` in redis.conf, or `CONFIG SET maxmemory-policy noeviction`"
                .to_owned();
        Some(if limit != "0" && policy.starts_with("allkeys") {
            Finding::refuse(
                found,
                "a full Redis would throw accepted issues and Blueprints away",
                change,
            )
        } else {
            Finding::warn(
                found,
                "one change of its configuration away from throwing accepted issues away",
                change,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn findings(info: &str) -> Vec<(Severity, String)> {
        let findings = Info(info.replace(' ', "\r\n")).findings();
        findings
            .into_iter()
            .map(|f| (f.severity, f.found))
            .collect()
    }

    #[test]
    fn what_info_says_is_judged() {
        use Severity::{Refuse, Warn};
        let cases: &[(&str, &[(Severity, &str)])] = &[
            ("", &[]),
            (
                "redis_version:7.0.0 maxmemory:1 maxmemory_policy:noeviction aof_enabled:1 cluster_enabled:0",
                &[],
            ),
            (
                "redis_version:7.2.4 server_name:valkey valkey_version:9.0.1",
                &[],
            ),
            ("redis_version:255.255.255", &[]),
            ("redis_version:unstable", &[]),
            (
                "redis_version:6.2.14",
                &[(Refuse, "redis_version is 6.2.14")],
            ),
            (
                "maxmemory:0 maxmemory_policy:allkeys-lru",
                &[(Warn, "maxmemory-policy is allkeys-lru with maxmemory 0")],
            ),
            (
                "maxmemory:9 maxmemory_policy:volatile-lru",
                &[(Warn, "maxmemory-policy is volatile-lru with maxmemory 9")],
            ),
            (
                "redis_version:5.0.0 maxmemory:9 maxmemory_policy:allkeys-lfu aof_enabled:0 cluster_enabled:1",
                &[
                    (Refuse, "redis_version is 5.0.0"),
                    (Refuse, "maxmemory-policy is allkeys-lfu with maxmemory 9"),
                    (Warn, "appendonly is no"),
                ],
            ),
        ];
        for (info, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|(s, text)| (*s, (*text).to_owned()))
                .collect();
            assert_eq!(findings(info), expected, "{info}");
        }
        assert_eq!(Info("role:master".to_owned()).master(), None);
        let replica = Info("role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\n".to_owned());
        assert_eq!(replica.master().as_deref(), Some("10.0.0.1:6379"));
    }

    #[test]
    fn the_rule_at_the_head_of_this_file_is_the_one_that_is_asked_for() {
        let page: Vec<&str> = include_str!("server_check.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! "))
            .flat_map(str::split_whitespace)
            .collect();
        let page = page.join(" ");
        assert!(page.contains(&rule()), "{}", rule());
    }

    /// A command outside the rule would fail for every user with that rule.
    #[test]
    fn the_rule_names_exactly_the_commands_that_are_used() {
        let mut used = BTreeSet::new();
        for script in script::all() {
            for call in script.source().split("call(").skip(1) {
                // The name can be an expression: `given_back and 'RPUSH' or 'LPUSH'`.
                let name = call.split([',', ')']).next().unwrap_or_default();
                used.extend(name.split('\'').skip(1).step_by(2).map(str::to_lowercase));
            }
        }
        let mut open = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store")];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(
                    std::fs::read_dir(path)
                        .unwrap()
                        .map(|file| file.unwrap().path()),
                );
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text: String = std::fs::read_to_string(path)
                    .unwrap()
                    .split_whitespace()
                    .collect();
                for call in text.split("cmd(\"").skip(1) {
                    used.insert(call.split('"').next().unwrap_or_default().to_lowercase());
                }
            }
        }
        // This check itself uses it if permitted.
        used.remove("config");
        // The client library sends these for a script and a subscription.
        used.extend(["evalsha", "subscribe"].map(str::to_owned));
        let named: BTreeSet<String> = commands()
            .map(|command| command.split('|').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(used, named);
    }
}

//! The scope that each RPC needs. A test checks that each RPC of the descriptors is listed exactly
//! once.

use crate::scope::Scope;

/// The requirement of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// No token: load balancers and orchestrators have none.
    Nothing,
    /// A token with at least this scope.
    AtLeast(Scope),
}

/// The scope of each RPC.
///
/// - `Read`: the RPC changes nothing.
/// - `Submit`: the RPC changes documents only through a verified commit.
/// - `Admin`: the RPC writes without verification, or affects the issues of every caller.
const TABLE: [(&str, &[(&str, Scope)]); 4] = [
    (
        proto::v1::intake_service_server::SERVICE_NAME,
        &[
            ("SubmitIssue", Scope::Submit),
            ("GetIssue", Scope::Read),
            ("ListIssues", Scope::Read),
            ("WatchIssue", Scope::Read),
            ("CancelIssue", Scope::Submit),
            ("RetryIssue", Scope::Submit),
            ("PreviewIssue", Scope::Submit),
            ("PauseQueue", Scope::Admin),
            ("ResumeQueue", Scope::Admin),
            ("GetQueueStats", Scope::Read),
        ],
    ),
    (
        proto::v1::blueprint_service_server::SERVICE_NAME,
        &[
            ("PutBlueprint", Scope::Admin),
            ("GetBlueprint", Scope::Read),
            ("ListBlueprints", Scope::Read),
            ("ListCommits", Scope::Read),
            ("DiffBlueprint", Scope::Read),
            ("RevertBlueprint", Scope::Admin),
            ("ArchiveBlueprint", Scope::Admin),
            ("UnarchiveBlueprint", Scope::Admin),
            ("ExportBlueprint", Scope::Read),
            ("ImportBlueprint", Scope::Admin),
        ],
    ),
    (
        proto::v1::setting_service_server::SERVICE_NAME,
        &[
            ("PutSetting", Scope::Admin),
            ("GetSetting", Scope::Read),
            ("ListSettings", Scope::Read),
            ("DeleteSetting", Scope::Admin),
        ],
    ),
    (
        proto::v1::enhance_log_service_server::SERVICE_NAME,
        &[
            ("GetLogEntry", Scope::Read),
            ("ListLogEntries", Scope::Read),
        ],
    ),
];

/// Returns what a call of `path` (`/package.Service/Method`) needs. An unknown path needs
/// [`Scope::Admin`].
pub(crate) fn need(path: &str) -> Need {
    let Some((service, method)) = path.trim_start_matches('/').split_once('/') else {
        return Need::AtLeast(Scope::Admin);
    };
    match service {
        "grpc.health.v1.Health" => return Need::Nothing,
        "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection" => {
            return Need::AtLeast(Scope::Read);
        }
        _ => {}
    }
    let rows = TABLE.iter().find(|(name, _)| *name == service);
    let scope = rows
        .and_then(|(_, rpcs)| rpcs.iter().find(|(name, _)| *name == method))
        .map_or(Scope::Admin, |(_, scope)| *scope);
    Need::AtLeast(scope)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn every_rpc_is_in_the_table_once() {
        let set = prost_types::FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut described = Vec::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    described.push(format!(
                        "{}.{}/{}",
                        file.package(),
                        service.name(),
                        method.name()
                    ));
                }
            }
        }
        let mut listed: Vec<String> = TABLE
            .iter()
            .flat_map(|(service, rpcs)| rpcs.iter().map(move |(rpc, _)| format!("{service}/{rpc}")))
            .collect();
        described.sort();
        listed.sort();
        assert_eq!(listed, described);
    }

    /// Checks that `docs/security.md` has a row for each RPC, with its scope.
    #[test]
    fn the_page_on_security_says_what_the_table_says() {
        let page = include_str!("../../../docs/security.md");
        let (_, rows) = page.split_once("## Every RPC").unwrap();
        let (rows, _) = rows.split_once("\n## ").unwrap();
        let rows = rows.lines().filter_map(|line| line.strip_prefix("| `"));
        let mut written: Vec<(String, String)> = rows
            .map(|row| {
                let mut cells = row.split(" | ");
                let rpc = cells.next().unwrap().trim_end_matches('`');
                (rpc.to_owned(), cells.next().unwrap().to_owned())
            })
            .collect();
        let listed = TABLE.iter().flat_map(|(service, rpcs)| {
            let name = service.rsplit('.').next().unwrap();
            let row = move |(rpc, scope): &(&str, Scope)| {
                (format!("{name}/{rpc}"), scope.as_str().to_owned())
            };
            rpcs.iter().map(row)
        });
        let mut listed: Vec<_> = listed.collect();
        written.sort();
        listed.sort();
        assert_eq!(written, listed);
    }

    #[test]
    fn paths_need_what_the_table_says() {
        let at_least = |scope| Need::AtLeast(scope);
        for (path, expected) in [
            ("/grpc.health.v1.Health/Check", Need::Nothing),
            (
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                at_least(Scope::Read),
            ),
            ("/enhance.v1.IntakeService/GetIssue", at_least(Scope::Read)),
            (
                "/enhance.v1.IntakeService/SubmitIssue",
                at_least(Scope::Submit),
            ),
            (
                "/enhance.v1.BlueprintService/PutBlueprint",
                at_least(Scope::Admin),
            ),
            ("/enhance.v1.IntakeService/Unknown", at_least(Scope::Admin)),
            ("/", at_least(Scope::Admin)),
        ] {
            assert_eq!(need(path), expected, "{path}");
        }
    }
}

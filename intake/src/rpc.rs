//! Every RPC, described once: its service, scope, effect and time limit. A test compares the table
//! with the descriptors.

use proto::v1::blueprint_service_server::SERVICE_NAME as BLUEPRINTS;
use proto::v1::enhance_log_service_server::SERVICE_NAME as LOG;
use proto::v1::intake_service_server::SERVICE_NAME as INTAKE;
use proto::v1::setting_service_server::SERVICE_NAME as SETTINGS;

use crate::scope::Scope;

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: load balancers and orchestrators have no token.
    Nothing,
    /// A token with at least this scope.
    AtLeast(Scope),
}

/// Whether an RPC changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It changes nothing.
    Reads,
    /// It changes something. An UNAVAILABLE response has the metadata `executed`.
    Writes,
    /// It changes something, and its own errors have the metadata `executed`.
    WritesAndReports,
}

/// The time limit of an RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeLimit {
    /// The time limit of all calls.
    Default,
    /// The RPC has a limit of its own: it takes as long as a flow, a watch or a history.
    Own,
}

/// The description of an RPC.
struct Row {
    rpc: Rpc,
    service: &'static str,
    method: &'static str,
    scope: Scope,
    effect: Effect,
    time_limit: TimeLimit,
}

macro_rules! rpcs {
    ($($service:ident $rpc:ident $scope:ident $effect:ident $limit:ident;)*) => {
        /// An RPC of `enhance.v1`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Rpc { $(#[doc = concat!("`", stringify!($rpc), "`")] $rpc,)* }

        /// In the order of [`Rpc`].
        const TABLE: &[Row] = &[$(Row {
            rpc: Rpc::$rpc,
            service: $service,
            method: stringify!($rpc),
            scope: Scope::$scope,
            effect: Effect::$effect,
            time_limit: TimeLimit::$limit,
        },)*];
    };
}

// `Read` reads. `Submit` ends in a verified commit or in nothing. `Review` commits or declines what
// was verified. `Admin` writes past the verifiers, or decides over the work of all.
rpcs! {
    INTAKE SubmitIssue Submit WritesAndReports Default;
    INTAKE GetIssue Read Reads Default;
    INTAKE ListIssues Read Reads Default;
    INTAKE WatchIssue Read Reads Own;
    INTAKE CancelIssue Submit Writes Default;
    INTAKE RetryIssue Submit Writes Default;
    INTAKE GetProposal Read Reads Default;
    INTAKE ApproveIssue Review Writes Default;
    INTAKE DeclineIssue Review Writes Default;
    INTAKE PreviewIssue Submit Reads Own;
    INTAKE PauseQueue Admin Writes Default;
    INTAKE ResumeQueue Admin Writes Default;
    INTAKE GetQueueStats Read Reads Default;
    BLUEPRINTS PutBlueprint Admin Writes Default;
    BLUEPRINTS GetBlueprint Read Reads Default;
    BLUEPRINTS ListBlueprints Read Reads Default;
    BLUEPRINTS ListCommits Read Reads Default;
    BLUEPRINTS DiffBlueprint Read Reads Default;
    BLUEPRINTS RevertBlueprint Admin Writes Default;
    BLUEPRINTS ArchiveBlueprint Admin Writes Default;
    BLUEPRINTS UnarchiveBlueprint Admin Writes Default;
    BLUEPRINTS ExportBlueprint Read Reads Own;
    BLUEPRINTS ImportBlueprint Admin Writes Own;
    BLUEPRINTS SetChannel Admin Writes Default;
    BLUEPRINTS DeleteChannel Admin Writes Default;
    BLUEPRINTS ListChannels Read Reads Default;
    BLUEPRINTS ListChannelMoves Read Reads Default;
    BLUEPRINTS ReportVersion Submit Writes Default;
    BLUEPRINTS ListConsumers Read Reads Default;
    BLUEPRINTS WatchBlueprints Read Reads Own;
    SETTINGS PutSetting Admin Writes Default;
    SETTINGS GetSetting Read Reads Default;
    SETTINGS ListSettings Read Reads Default;
    SETTINGS DeleteSetting Admin Writes Default;
    LOG GetLogEntry Read Reads Default;
    LOG ListLogEntries Read Reads Default;
    LOG GetActivity Read Reads Default;
}

impl Rpc {
    /// The RPC that `path` (`/package.Service/Method`) calls.
    pub(crate) fn of_path(path: &str) -> Option<Rpc> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        let mut rows = TABLE.iter();
        let row = rows.find(|row| row.method == method && row.service == service);
        row.map(|row| row.rpc)
    }

    /// The name of the method: also the label `rpc` of metrics.
    pub(crate) fn name(self) -> &'static str {
        self.row().method
    }

    /// Whether it changes something.
    pub(crate) fn effect(self) -> Effect {
        self.row().effect
    }

    /// Its time limit.
    pub(crate) fn time_limit(self) -> TimeLimit {
        self.row().time_limit
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

/// What a call of `path` needs. An unknown path needs the widest scope.
pub(crate) fn need(path: &str) -> Need {
    if let Some(rpc) = Rpc::of_path(path) {
        return Need::AtLeast(rpc.row().scope);
    }
    let service = path.trim_start_matches('/').split('/').next();
    match service {
        Some("grpc.health.v1.Health") => Need::Nothing,
        Some("grpc.reflection.v1.ServerReflection")
        | Some("grpc.reflection.v1alpha.ServerReflection") => Need::AtLeast(Scope::Read),
        _ => Need::AtLeast(Scope::Admin),
    }
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
            .map(|row| format!("{}/{}", row.service, row.method))
            .collect();
        described.sort();
        listed.sort();
        assert_eq!(listed, described);
    }

    /// `docs/security.md` has a row for each RPC, with its scope.
    #[test]
    fn the_page_on_security_says_what_the_table_says() {
        let page = include_str!("../../docs/security.md");
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
        let mut listed: Vec<(String, String)> = TABLE
            .iter()
            .map(|row| {
                let service = row.service.rsplit('.').next().unwrap();
                (
                    format!("{service}/{}", row.method),
                    row.scope.as_str().to_owned(),
                )
            })
            .collect();
        written.sort();
        listed.sort();
        assert_eq!(written, listed);
    }

    /// By its name: a new RPC of another name is described in the table all the same.
    #[test]
    fn what_is_named_like_a_read_is_a_read() {
        let reads = ["Get", "List", "Watch", "Diff", "Preview", "Export"];
        for row in TABLE {
            let is_read = reads.iter().any(|read| row.method.starts_with(read));
            assert_eq!(row.effect == Effect::Reads, is_read, "{}", row.method);
            assert_eq!(row.rpc.name(), row.method);
        }
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
                "/enhance.v1.IntakeService/ApproveIssue",
                at_least(Scope::Review),
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

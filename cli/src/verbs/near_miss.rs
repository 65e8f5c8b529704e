//! Names the near miss of a mistyped id.

use proto::v1::GetBlueprintRequest;
use tonic::Code;
use tonic_types::StatusExt;

use super::blueprints;
use crate::client::{CliError, Client};

/// Least similarity of a near miss: the share of equal characters, moved ones included.
const LEAST_SIMILARITY: f64 = 0.7;

/// Checks that the Blueprint of a filter exists. Meant for a list without items.
///
/// # Errors
/// [`CliError::NoSuchBlueprint`], with the near miss. Errors of intake.
pub(super) async fn check_filter(client: &mut Client, given: Option<&str>) -> Result<(), CliError> {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Ok(());
    };
    let request = GetBlueprintRequest {
        blueprint_id: given.to_owned(),
        selector: None,
    };
    match client.blueprints.get_blueprint(request).await {
        Err(status) if status.code() == Code::NotFound => Err(CliError::NoSuchBlueprint {
            given: given.to_owned(),
            near: near_blueprint(client, given).await,
        }),
        // An archived Blueprint exists, too.
        _ => Ok(()),
    }
}

/// Adds the near miss to an error of intake about a Blueprint that does not exist.
pub(crate) async fn explain(client: &mut Client, error: CliError) -> CliError {
    let CliError::Status(status) = &error else {
        return error;
    };
    let info = status.get_details_error_info();
    let info = info.filter(|info| info.reason == "BLUEPRINT_NOT_FOUND");
    let Some(given) = info.and_then(|info| info.metadata.get("blueprint_id").cloned()) else {
        return error;
    };
    match near_blueprint(client, &given).await {
        None => error,
        near => CliError::NoSuchBlueprint { given, near },
    }
}

/// Returns the id of a Blueprint that is nearly `given`. Errors of intake count as none.
async fn near_blueprint(client: &mut Client, given: &str) -> Option<String> {
    let ids = blueprints::ids(client).await.ok()?;
    nearest(given, &ids).map(str::to_owned)
}

/// Returns the name that is most similar to `given`, if it is similar enough.
pub(crate) fn nearest<'a>(given: &str, names: &'a [String]) -> Option<&'a str> {
    let similarity = |name: &String| strsim::normalized_damerau_levenshtein(given, name);
    let scored = names.iter().map(|name| (similarity(name), name));
    let scored = scored.filter(|(score, _)| *score >= LEAST_SIMILARITY);
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    // A beginning is a near miss, too.
    let begun = || {
        let begun = names.iter().filter(|name| name.starts_with(given));
        begun.min_by_key(|name| name.len())
    };
    let best = best.map(|(_, name)| name);
    best.or_else(begun).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_similar_or_longer() {
        let names = ["support-swarm", "sales", "default"].map(str::to_owned);
        for (given, near) in [
            ("suport-swarm", Some("support-swarm")),
            ("support-sawrm", Some("support-swarm")),
            ("support", Some("support-swarm")),
            ("sale", Some("sales")),
            ("marketing", None),
        ] {
            assert_eq!(nearest(given, &names), near, "{given}");
        }
    }
}

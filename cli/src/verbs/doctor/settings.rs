//! Checks whether the settings verify changes.

use proto::v1::{EnhanceSetting, ListSettingsRequest};

use super::Check;
use crate::client::Client;
use crate::verbs::page_size;

/// Checks that every setting has verifiers.
pub(super) async fn examine(client: &Client) -> Check {
    match list(client).await {
        Ok(settings) => judge(&settings),
        Err(status) => Check::bad(
            "settings",
            format!(
                "intake does not list them: {:?}: {}",
                status.code(),
                status.message()
            ),
            "look at intake's log",
        ),
    }
}

async fn list(client: &Client) -> Result<Vec<EnhanceSetting>, tonic::Status> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListSettingsRequest {
            page_size: page_size(usize::MAX),
            page_token,
        };
        let page = client.settings.clone().list_settings(request).await?;
        let page = page.into_inner();
        all.extend(page.settings);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

fn judge(settings: &[EnhanceSetting]) -> Check {
    let named = |is_meant: bool| {
        let without = settings.iter().filter(|s| s.verifier_axes.is_empty());
        let names = without.filter(|setting| setting.no_verification == is_meant);
        let names: Vec<&str> = names.map(|setting| setting.id.as_str()).collect();
        names.join(", ")
    };
    let (unusable, unverified) = (named(false), named(true));
    if !unusable.is_empty() {
        return Check::bad(
            "settings",
            format!("no verifier_axes in {unusable}: every issue that uses them fails"),
            "`draftsman setting put` them with verifier_axes, or with no_verification: true if that is intended",
        );
    }
    if !unverified.is_empty() {
        return Check::warn(
            "settings",
            format!(
                "no verification in {unverified}: every patch of a spawner is committed unverified"
            ),
            "`draftsman setting put` them with verifier_axes, unless that is intended",
        );
    }
    Check::ok("settings", "each has verifier axes")
}

#[cfg(test)]
mod tests {
    use super::super::Finding;
    use super::*;

    fn setting(id: &str, axes: &[&str], no_verification: bool) -> EnhanceSetting {
        EnhanceSetting {
            id: id.to_owned(),
            verifier_axes: axes.iter().map(|axis| (*axis).to_owned()).collect(),
            no_verification,
            ..Default::default()
        }
    }

    #[test]
    fn settings_without_verification_are_named() {
        let good = setting("good", &["des"], false);
        let check = judge(std::slice::from_ref(&good));
        assert_eq!(check.finding, Finding::Ok);
        let meant = setting("meant", &[], true);
        let check = judge(&[good.clone(), meant.clone()]);
        assert_eq!(check.finding, Finding::Warn);
        assert!(check.found.contains("meant"), "{check:?}");
        let check = judge(&[good, meant, setting("forgotten", &[], false)]);
        assert_eq!(check.finding, Finding::Bad);
        assert!(check.found.contains("forgotten"), "{check:?}");
    }
}

//! `setting use-model`: uses a language model to write the patches, or none.
//!
//! The setting gets the bundled definition of the `llm` spawner. If its spawner already is of kind
//! `llm`, only the model changes; the prompt and the rest are kept.

use prost_types::value::Kind;
use prost_types::{Struct, Value as WireValue};
use proto::v1::{GetSettingRequest, PutSettingRequest};
use serde_json::json;
use shared::blueprint::yaml;
use worker::flow::{PATCH_SPAWNER_LLM_YAML, providers};

use super::setting_file::{to_json, to_wire};
use super::trial;
use crate::args::{Output, UseModelArgs};
use crate::client::{CliError, Client};
use crate::output;

/// The argument for no model.
const NONE: &str = "none";

/// Sets the model of the setting's spawner, or removes the spawner of the setting.
///
/// # Errors
/// [`CliError::Model`] before any call of intake. Then errors of intake, for example if another
/// caller has just written the setting.
pub(crate) async fn use_model(
    mut client: Client,
    args: UseModelArgs,
    format: Output,
) -> Result<(), CliError> {
    let wanted = match args.model.as_str() {
        NONE => None,
        given => Some(split(given)?),
    };
    let request = GetSettingRequest {
        setting_id: args.setting,
    };
    let answer = client.settings.get_setting(request).await?.into_inner();
    let missing = || CliError::Answer { field: "setting" };
    let mut setting = answer.setting.ok_or_else(missing)?;
    let own = setting.spawner.take();
    if let Some((provider, model)) = wanted {
        let mut spawner = own.filter(asks_a_model).unwrap_or_else(bundled);
        put(&mut spawner, "spec", "provider", provider);
        put(&mut spawner, "profile", "model", model);
        setting.spawner = Some(spawner);
    }
    let request = PutSettingRequest {
        expected_revision: Some(setting.revision),
        setting: Some(setting),
        ..Default::default()
    };
    let answer = client.settings.put_setting(request).await?.into_inner();
    let setting = answer.setting.ok_or_else(missing)?;
    if format == Output::Json {
        let trial = trial::json(answer.trial, &answer.trial_detail);
        let value = json!({ "setting": to_json(&setting), "trial": trial });
        return Ok(output::json_document(&value)?);
    }
    let author = match wanted {
        Some((provider, model)) => format!("{model} of {provider}"),
        None => format!("the spawner of the orbit {}", setting.blueprint_id),
    };
    output::line(format_args!(
        "setting {}: revision {}; {author} writes the patches from the next issue on",
        setting.id, setting.revision
    ))?;
    Ok(trial::show(answer.trial, &answer.trial_detail)?)
}

/// Describes who writes the patches of a setting: the kind of its spawner, or the provider and the
/// model of an agent of kind `llm`.
pub(super) fn author(spawner: Option<&Struct>) -> String {
    let Some(spawner) = spawner else {
        return "of the orbit".to_owned();
    };
    let text = |group: &str, field: &str| {
        let group = spawner.fields.get(group)?.kind.as_ref()?;
        let Kind::StructValue(members) = group else {
            return None;
        };
        match members.fields.get(field)?.kind.as_ref()? {
            Kind::StringValue(text) => Some(text.clone()),
            _ => None,
        }
    };
    if asks_a_model(spawner) {
        let part = |group, field| text(group, field).unwrap_or_else(|| "?".to_owned());
        return format!("{}/{}", part("spec", "provider"), part("profile", "model"));
    }
    match spawner
        .fields
        .get("kind")
        .and_then(|kind| kind.kind.as_ref())
    {
        Some(Kind::StringValue(kind)) => kind.clone(),
        _ => "?".to_owned(),
    }
}

/// Splits `PROVIDER/MODEL` at the first slash; the model may contain slashes.
fn split(given: &str) -> Result<(&str, &str), CliError> {
    let providers = providers();
    match given.split_once('/') {
        Some((provider, model))
            if !model.is_empty() && providers.iter().any(|known| known == provider) =>
        {
            Ok((provider, model))
        }
        _ => Err(CliError::Model {
            given: given.to_owned(),
            providers,
        }),
    }
}

fn asks_a_model(spawner: &Struct) -> bool {
    let kind = spawner
        .fields
        .get("kind")
        .and_then(|kind| kind.kind.as_ref());
    matches!(kind, Some(Kind::StringValue(kind)) if kind == "llm")
}

fn bundled() -> Struct {
    let doc = yaml::parse(PATCH_SPAWNER_LLM_YAML).expect("the bundled definition is YAML");
    let wire = to_wire(&doc).expect("the bundled definition has no large integers");
    match wire.kind {
        Some(Kind::StructValue(fields)) => fields,
        _ => unreachable!("the bundled definition is a mapping"),
    }
}

/// Sets `group.field`. Replaces `group` if it is not an object.
fn put(definition: &mut Struct, group: &str, field: &str, text: &str) {
    let text = WireValue {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let group = definition.fields.entry(group.to_owned()).or_default();
    match &mut group.kind {
        Some(Kind::StructValue(members)) => {
            members.fields.insert(field.to_owned(), text);
        }
        other => {
            let fields = [(field.to_owned(), text)].into_iter().collect();
            *other = Some(Kind::StructValue(Struct { fields }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_definition_takes_a_model() {
        let mut spawner = bundled();
        assert!(asks_a_model(&spawner));
        assert_eq!(author(None), "of the orbit");
        put(&mut spawner, "spec", "provider", "openai");
        put(&mut spawner, "profile", "model", "a/b");
        let Some(Kind::StructValue(profile)) = &spawner.fields["profile"].kind else {
            panic!("a profile is an object");
        };
        assert!(profile.fields.contains_key("system_prompt"));
        assert_eq!(
            profile.fields["model"].kind,
            Some(Kind::StringValue("a/b".into()))
        );
        assert_eq!(author(Some(&spawner)), "openai/a/b");
    }

    #[test]
    fn a_model_has_a_provider_that_there_is() {
        assert_eq!(split("open_router/a/b").unwrap(), ("open_router", "a/b"));
        for bad in ["gpt-4o", "openai/", "/m", "opanai/gpt-4o"] {
            let refused = split(bad).unwrap_err().to_string();
            assert!(refused.contains("anthropic"), "{refused}");
        }
    }
}

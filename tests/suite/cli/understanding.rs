//! A typo in a sentence is refused before it enters the log.

use proto::v1;
use tests::factory;
use tests::model_double::Act;
use tests::model_stage::{ModelStage, patch};
use tests::programs::{Finished, Program, run};
use tests::rig::Rig;
use tonic::Code;
use tonic_types::StatusExt;

async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await
}

fn submission(intent: &str, must_be_understood: bool) -> v1::SubmitIssueRequest {
    v1::SubmitIssueRequest {
        blueprint_id: "target".to_owned(),
        intent: intent.to_owned(),
        must_be_understood,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_typo_is_refused_without_a_worker_and_leaves_nothing() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("target")).await;
    let refused = draftsman(&rig, &["submit", "target", "tagg urgent"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for words in [
        "NOT_UNDERSTOOD",
        "did you mean `tag <name>`?",
        "tagg urgent",
    ] {
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
    let long = format!("please {}", "x ".repeat(20_000));
    for intent in ["tagg urgent", "set /a", "{\"ops\": [", &long] {
        let mut intake = rig.client.intake.clone();
        let submitted = intake.submit_issue(submission(intent, true));
        let status = submitted.await.expect_err("it is not understood");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        assert_eq!(reason.as_deref(), Some("NOT_UNDERSTOOD"));
        let fields = &details.bad_request().expect("a field").field_violations;
        assert_eq!(fields[0].field, "intent");
    }
    assert!(rig.client.issues().await.is_empty());

    // Understood, or not asked for: accepted.
    for (intent, must) in [
        ("tag urgent", true),
        // The agent may be added before it is the issue's turn.
        ("set prompt of agent nobody to Be brief.", true),
        ("[{\"op\": \"remove\", \"path\": \"/note\"}]", true),
        ("tagg urgent", false),
    ] {
        let mut intake = rig.client.intake.clone();
        let submitted = intake.submit_issue(submission(intent, must));
        submitted
            .await
            .unwrap_or_else(|status| panic!("{intent}: {status:?}"));
    }
    let args = ["submit", "target", "tagg urgent", "--unchecked", "--detach"];
    assert_eq!(draftsman(&rig, &args).await.code, Some(0));
    assert_eq!(rig.client.issues().await.len(), 5);
}

#[tokio::test]
async fn another_spawner_may_understand_anything() {
    let stage = ModelStage::start(vec![Act::Say(patch())]).await;
    let args = ["submit", "target", "tagg it as something nice"];
    let applied = draftsman(&stage.rig, &args).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    // Without a spawner of its own, a setting has that of its orbit.
    let none = draftsman(&stage.rig, &["setting", "use-model", "none"]).await;
    assert_eq!(none.code, Some(0), "{none:?}");
    let refused = draftsman(&stage.rig, &args).await;
    assert!(refused.stderr.contains("NOT_UNDERSTOOD"), "{refused:?}");
}

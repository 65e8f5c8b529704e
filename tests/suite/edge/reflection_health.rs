//! Server reflection in both versions, and health, for each service.

use futures::stream;
use proto::v1;
use tests::rig::Rig;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb;

const SERVICES: [&str; 4] = [
    "enhance.v1.IntakeService",
    "enhance.v1.BlueprintService",
    "enhance.v1.SettingService",
    "enhance.v1.EnhanceLogService",
];

#[tokio::test]
async fn reflection_v1_lists_the_services_and_gives_their_files() {
    use pb::v1::server_reflection_client::ServerReflectionClient;
    use pb::v1::server_reflection_request::MessageRequest;
    use pb::v1::server_reflection_response::MessageResponse;
    let rig = Rig::without_worker().await;
    let mut client = ServerReflectionClient::new(rig.client.channel.clone());
    let mut requests = vec![
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol("enhance.v1.Issue".to_owned()),
    ];
    requests.extend(SERVICES.map(|s| MessageRequest::FileContainingSymbol(s.to_owned())));
    let requests = requests
        .into_iter()
        .map(|message_request| pb::v1::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message_request),
        });
    let mut answers = client
        .server_reflection_info(stream::iter(requests))
        .await
        .expect("reflection")
        .into_inner();
    let first = answers
        .message()
        .await
        .expect("no error")
        .expect("an answer")
        .message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = first else {
        panic!("a list of services: {first:?}")
    };
    let names: Vec<&str> = list.service.iter().map(|s| s.name.as_str()).collect();
    for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
        assert!(names.contains(&service), "{service} is listed: {names:?}");
    }
    let mut n_files = 0;
    while let Some(answer) = answers.message().await.expect("no error") {
        let Some(MessageResponse::FileDescriptorResponse(files)) = answer.message_response else {
            panic!("a file: {answer:?}")
        };
        assert!(!files.file_descriptor_proto.is_empty());
        n_files += 1;
    }
    assert_eq!(n_files, 5);
}

#[tokio::test]
async fn reflection_v1alpha_lists_the_services_too() {
    use pb::v1alpha::server_reflection_client::ServerReflectionClient;
    use pb::v1alpha::server_reflection_request::MessageRequest;
    use pb::v1alpha::server_reflection_response::MessageResponse;
    let rig = Rig::without_worker().await;
    let mut client = ServerReflectionClient::new(rig.client.channel.clone());
    let request = pb::v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client
        .server_reflection_info(stream::iter([request]))
        .await
        .expect("reflection")
        .into_inner();
    let first = answers
        .message()
        .await
        .expect("no error")
        .expect("an answer")
        .message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = first else {
        panic!("a list of services: {first:?}")
    };
    let names: Vec<&str> = list.service.iter().map(|s| s.name.as_str()).collect();
    for service in SERVICES {
        assert!(names.contains(&service), "{service} is listed: {names:?}");
    }
}

#[tokio::test]
async fn health_is_told_per_service_and_follows_redis() {
    let mut rig = Rig::without_worker().await;
    let mut client = HealthClient::new(rig.client.channel.clone());
    for service in SERVICES.into_iter().chain([""]) {
        let service = service.to_owned();
        let answer = client
            .check(HealthCheckRequest {
                service: service.clone(),
            })
            .await
            .expect("health");
        assert_eq!(
            answer.into_inner().status(),
            ServingStatus::Serving,
            "{service:?}"
        );
    }
    let unknown = client
        .check(HealthCheckRequest {
            service: "enhance.v1.Nobody".to_owned(),
        })
        .await;
    assert_eq!(unknown.expect_err("no such service").code(), Code::NotFound);

    rig.redis.kill();
    tests::eventually::eventually("health says that Redis is away", async || {
        let answer = client
            .clone()
            .check(HealthCheckRequest {
                service: SERVICES[0].to_owned(),
            })
            .await;
        match answer.map(|a| a.into_inner().status()) {
            Ok(ServingStatus::NotServing) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let stats = rig
        .client
        .intake
        .clone()
        .get_queue_stats(v1::GetQueueStatsRequest {})
        .await;
    assert_eq!(stats.expect_err("Redis is away").code(), Code::Unavailable);
}

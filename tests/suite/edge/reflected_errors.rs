//! Decodes the details of an error with data from reflection only, as a client without generated
//! code does.

use futures::stream;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};
use proto::v1;
use tests::rig::Rig;
use tonic::Status;
use tonic_reflection::pb;

/// `google.rpc.Status`, the message that contains the details of a gRPC error.
const STATUS: &str = "google.rpc.Status";

/// The type name in a `google.protobuf.Any`.
fn type_name(any: &DynamicMessage) -> String {
    let url = any
        .get_field_by_name("type_url")
        .expect("an Any has a type");
    let url = url.as_str().expect("text").to_owned();
    let (_, name) = url.rsplit_once('/').expect("a URL of a type");
    name.to_owned()
}

/// Requests the files of each symbol as needed, and decodes the details of `status`. `describe`
/// returns the files that contain a symbol.
async fn details(
    status: &Status,
    describe: impl AsyncFn(String) -> Vec<Vec<u8>>,
) -> Vec<DynamicMessage> {
    let mut pool = DescriptorPool::new();
    let learn = async |pool: &mut DescriptorPool, name: &str| {
        let mut files: Vec<prost_types::FileDescriptorProto> = Vec::new();
        for file in describe(name.to_owned()).await {
            files.push(Message::decode(&*file).expect("a file of descriptors"));
        }
        // Imported files are requested by their names.
        let known =
            |pool: &DescriptorPool, files: &[prost_types::FileDescriptorProto], name: &str| {
                pool.get_file_by_name(name).is_some() || files.iter().any(|f| f.name() == name)
            };
        loop {
            let missing = files
                .iter()
                .flat_map(|file| file.dependency.clone())
                .find(|name| !known(pool, &files, name));
            let Some(missing) = missing else { break };
            for file in describe(missing).await {
                files.push(Message::decode(&*file).expect("a file of descriptors"));
            }
        }
        files.retain(|file| pool.get_file_by_name(file.name()).is_none());
        let set = prost_types::FileDescriptorSet { file: files };
        pool.decode_file_descriptor_set(&*set.encode_to_vec())
            .expect("the files fit together");
    };
    learn(&mut pool, STATUS).await;
    let decode = |pool: &DescriptorPool, name: &str, bytes: &[u8]| {
        let message = pool.get_message_by_name(name).expect(name);
        DynamicMessage::decode(message, bytes).expect(name)
    };
    let whole = decode(&pool, STATUS, status.details());
    let list = whole.get_field_by_name("details").expect("a field");
    let mut details = Vec::new();
    for any in list.as_list().expect("a list") {
        let any = any.as_message().expect("a message");
        let name = type_name(any);
        learn(&mut pool, &name).await;
        let value = any.get_field_by_name("value").expect("an Any has a value");
        details.push(decode(&pool, &name, value.as_bytes().expect("bytes")));
    }
    details
}

/// Checks that the details name the rejected field as documented.
fn assert_refused_field(details: &[DynamicMessage]) {
    let of = |name: &str| {
        let found = details.iter().find(|d| d.descriptor().full_name() == name);
        found.unwrap_or_else(|| panic!("no {name} in {details:?}"))
    };
    let info = of("google.rpc.ErrorInfo");
    let field = |message: &DynamicMessage, name: &str| {
        message.get_field_by_name(name).expect(name).into_owned()
    };
    assert_eq!(
        field(info, "reason"),
        Value::String("INVALID_FIELD".to_owned())
    );
    assert_eq!(field(info, "domain"), Value::String("draftsman".to_owned()));
    let violations = field(of("google.rpc.BadRequest"), "field_violations");
    let violations = violations.as_list().expect("a list");
    let first = violations[0].as_message().expect("a message");
    assert_eq!(
        field(first, "field"),
        Value::String("blueprint_id".to_owned())
    );
}

async fn refused(rig: &Rig) -> Status {
    let request = v1::SubmitIssueRequest {
        intent: "tag x".to_owned(),
        ..Default::default()
    };
    let answer = rig.client.intake.clone().submit_issue(request).await;
    answer.expect_err("no target is named")
}

/// A test for each version of the reflection service: their messages have the same fields and
/// different types.
macro_rules! decoded_by {
    ($($test:ident: $version:ident;)+) => {$(
        #[tokio::test]
        async fn $test() {
            use pb::$version::server_reflection_client::ServerReflectionClient;
            use pb::$version::server_reflection_request::MessageRequest;
            use pb::$version::server_reflection_response::MessageResponse;
            let rig = Rig::without_worker().await;
            let client = ServerReflectionClient::new(rig.client.channel.clone());
            let describe = async |name: String| {
                // A file name contains a path; a symbol does not.
                let ask = if name.contains('/') {
                    MessageRequest::FileByFilename(name)
                } else {
                    MessageRequest::FileContainingSymbol(name)
                };
                let request = pb::$version::ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(ask),
                };
                let answers = client
                    .clone()
                    .server_reflection_info(stream::iter([request]))
                    .await;
                let mut answers = answers.expect("reflection").into_inner();
                let answer = answers.message().await.expect("no error");
                match answer.expect("an answer").message_response {
                    Some(MessageResponse::FileDescriptorResponse(files)) => {
                        files.file_descriptor_proto
                    }
                    other => panic!("a file: {other:?}"),
                }
            };
            assert_refused_field(&details(&refused(&rig).await, describe).await);
        }
    )+};
}

decoded_by! {
    an_error_is_decoded_with_nothing_but_reflection: v1;
    an_error_is_decoded_with_nothing_but_the_older_reflection: v1alpha;
}

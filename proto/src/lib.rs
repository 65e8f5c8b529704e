//! The wire types of Draftsman, with clients and servers, generated from
//! `proto/enhance/v1/*.proto`. Also has their descriptors, for server reflection.

/// Package `enhance.v1`.
#[allow(
    missing_docs,
    reason = "generated; every message, field and method is documented in proto/enhance/v1"
)]
#[allow(unreachable_pub, clippy::all, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("enhance.v1");
}

/// An encoded `google.protobuf.FileDescriptorSet` of package `enhance.v1` and what it imports.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

//! Operations on tags: those that name a stream, and those that name any resource by its ARN.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::consumer::consumer_in;
use super::error::ApiError;
use super::service::Service;
use super::tags::Tags;
use super::wire::{page_limit, required};

/// A stream and tags of it; which members are there depends on the operation.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamTags {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    tag_keys: Option<Vec<String>>,
    exclusive_start_tag_key: Option<String>,
    limit: Option<u64>,
}

/// A resource and tags of it; which members are there depends on the operation.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ResourceTags {
    #[serde(rename = "ResourceARN")]
    resource_arn: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    tag_keys: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamTagsAnswer {
    tags: Vec<Tag>,
    has_more_tags: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ResourceTagsAnswer {
    tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

impl From<(&String, &String)> for Tag {
    fn from((key, value): (&String, &String)) -> Self {
        Self { key: key.clone(), value: value.clone() }
    }
}

impl Service {
    pub(super) fn add_tags_to_stream(&self, request: StreamTags) -> Result<(), ApiError> {
        let tags = required(request.tags, "tags")?;
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        self.with_stream(&name, |stream, _| stream.tags.add(tags))
    }

    pub(super) fn remove_tags_from_stream(&self, request: StreamTags) -> Result<(), ApiError> {
        let keys = required(request.tag_keys, "tagKeys")?;
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        self.with_stream(&name, |stream, _| stream.tags.remove(&keys))
    }

    pub(super) fn list_tags_for_stream(
        &self,
        request: &StreamTags,
    ) -> Result<StreamTagsAnswer, ApiError> {
        let limit = page_limit(request.limit, "limit", 50, 50)?;
        let name = self.name_of(request.stream_name.as_deref(), request.stream_arn.as_deref())?;
        self.with_stream(&name, |stream, _| {
            let mut rest = stream.tags.after(request.exclusive_start_tag_key.as_deref());
            let tags = rest.by_ref().take(limit).map(Tag::from).collect();
            Ok(StreamTagsAnswer { tags, has_more_tags: rest.next().is_some() })
        })
    }

    pub(super) fn tag_resource(&self, request: ResourceTags) -> Result<(), ApiError> {
        let tags = required(request.tags, "tags")?;
        self.with_tags(request.resource_arn, |own| own.add(tags))
    }

    pub(super) fn untag_resource(&self, request: ResourceTags) -> Result<(), ApiError> {
        let keys = required(request.tag_keys, "tagKeys")?;
        self.with_tags(request.resource_arn, |own| own.remove(&keys))
    }

    pub(super) fn list_tags_for_resource(
        &self,
        request: ResourceTags,
    ) -> Result<ResourceTagsAnswer, ApiError> {
        self.with_tags(request.resource_arn, |own| {
            Ok(ResourceTagsAnswer { tags: own.after(None).map(Tag::from).collect() })
        })
    }

    /// Runs `work` on the tags of a stream or a consumer.
    fn with_tags<R>(
        &self,
        arn: Option<String>,
        work: impl FnOnce(&mut Tags) -> Result<R, ApiError>,
    ) -> Result<R, ApiError> {
        let arn = required(arn, "resourceARN")?;
        let of_consumer = arn.contains("/consumer/");
        let stream_arn = if of_consumer { consumer_in(&arn)?.0 } else { &arn };
        let name = self.name_of(None, Some(stream_arn))?;
        self.with_stream(&name, |stream, _| {
            if of_consumer {
                return work(&mut stream.consumers.by_arn(&arn)?.tags);
            }
            work(&mut stream.tags)
        })
    }
}

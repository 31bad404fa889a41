//! The two shapes of an API server's answers, read without reading the objects inside: one object that does not read
//! must not take its neighbours with it.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One page of a list.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(default)]
    pub(super) metadata: PageMeta,
    /// The objects, unread. An empty list of a custom resource may be `null`.
    #[serde(borrow, default)]
    pub(super) items: Option<Vec<&'a RawValue>>,
}

/// A list's own metadata.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMeta {
    /// The revision at which the whole list stands.
    #[serde(default)]
    pub(super) resource_version: String,
    /// Asks for the next page; absent or empty on the last.
    #[serde(default, rename = "continue")]
    pub(super) next: Option<String>,
}

/// What a watch event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum EventType {
    /// An object appeared.
    Added,
    /// An object changed.
    Modified,
    /// An object was deleted; the object is its last state, dated with the deletion's revision.
    Deleted,
    /// Nothing happened up to this revision.
    Bookmark,
    /// The watch is over; the object is a Status.
    Error,
}

/// One line of a watch.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type")]
    pub(super) event: EventType,
    /// The object, unread.
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// A bookmark's revision; a bookmark has no name.
#[derive(Deserialize)]
pub(super) struct Bookmark {
    pub(super) metadata: PageMeta,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pages_keep_their_objects_unread() {
        let text = r#"{"kind":"List","metadata":{"resourceVersion":"9","continue":"abc"},"items":[{"a":1}, 7]}"#;
        let page: Page<'_> = serde_json::from_str(text).unwrap();
        assert_eq!((page.metadata.resource_version.as_str(), page.metadata.next.as_deref()), ("9", Some("abc")));
        let items: Vec<_> = page.items.unwrap().iter().map(|raw| raw.get().to_owned()).collect();
        assert_eq!(items, [r#"{"a":1}"#, "7"]);
        let empty: Page<'_> = serde_json::from_str(r#"{"metadata":{"resourceVersion":"9"},"items":null}"#).unwrap();
        assert!(empty.items.is_none() && empty.metadata.next.is_none());
    }

    #[test]
    fn events_are_told_apart() {
        for (text, event) in [
            (r#"{"type":"ADDED","object":{}}"#, EventType::Added),
            (r#"{"type":"MODIFIED","object":{}}"#, EventType::Modified),
            (r#"{"object":{},"type":"DELETED"}"#, EventType::Deleted),
            (r#"{"type":"BOOKMARK","object":{}}"#, EventType::Bookmark),
            (r#"{"type":"ERROR","object":{}}"#, EventType::Error),
        ] {
            assert_eq!(serde_json::from_str::<Event<'_>>(text).unwrap().event, event);
        }
        for bad in ["", "{}", r#"{"type":"SURPRISE","object":{}}"#, r#"{"type":"ADDED"}"#, "<html>"] {
            assert!(serde_json::from_str::<Event<'_>>(bad).is_err(), "{bad}");
        }
    }
}

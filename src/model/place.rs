//! Where a delivery stands among those of its shard.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{OutputEvent, Position, Share};

/// A delivery's place. Along a shard places grow: records, the events of a record, the routes of an
/// event, the documents of a route.
///
/// As text `sequence:sub-sequence:event:route:document`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Its user record.
    pub position: Position,
    /// Index of the event among those of the user record.
    pub event: u32,
    /// Index of the route.
    pub route: u32,
    /// Index of the document among those that the route's program made.
    pub document: u32,
}

impl Place {
    /// `None` for a dead letter: those come out of order.
    pub fn of(event: &OutputEvent) -> Option<Self> {
        let Share::Document { route, document, .. } = &event.share else { return None };
        let position = event.id.position.clone();
        Some(Self { position, event: event.id.index, route: *route, document: *document })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, event, route, document } = self;
        write!(f, "{position}:{event}:{route}:{document}")
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{:?} is no place in a shard", text.chars().take(200).collect::<String>());
        let parts: Vec<&str> = text.split(':').collect();
        let [sequence, sub_sequence, event, route, document] = parts.as_slice() else {
            return Err(wrong());
        };
        let index = |text: &str| text.parse().map_err(|_| wrong());
        Ok(Self {
            position: Position {
                sequence: sequence.parse().map_err(|_| wrong())?,
                sub_sequence: sub_sequence.parse().map_err(|_| wrong())?,
            },
            event: index(event)?,
            route: index(route)?,
            document: index(document)?,
        })
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_grow_along_a_shard_and_read_as_they_print() {
        let texts =
            ["9:0:0:0:0", "10:0:0:0:0", "10:0:0:0:1", "10:0:0:1:0", "10:0:1:0:0", "10:1:0:0:0"];
        let places: Vec<Place> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert!(places.is_sorted_by(|earlier, later| earlier < later));
        let shown: Vec<String> = places.iter().map(ToString::to_string).collect();
        assert_eq!(shown, texts);
        for bad in ["", "1", "1:2:3:4", "1:2:3:4:5:6", "a:0:0:0:0", "1:-1:0:0:0"] {
            assert!(bad.parse::<Place>().is_err(), "{bad:?}");
        }
    }
}

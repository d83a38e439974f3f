//! A booking as an iCalendar file (RFC 5545): one event whose UID stays through all its changes, and whose SEQUENCE grows with each.

use chrono::{DateTime, Utc};
use icalendar::{Calendar, Component as _, Event, EventLike as _, EventStatus, Property};

use crate::bookings::{self, Booking};
use crate::error::CallError;
use crate::handler::Call;
use contracts::tools::booking::BookingStatus;

/// Who writes the file.
const PRODUCT: &str = "-//Countersign//Bookings//EN";

/// What a file says.
#[derive(Debug, Clone)]
struct Entry<'a> {
    uid: &'a str,
    sequence: i32,
    cancelled: bool,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    changed_at: DateTime<Utc>,
    /// "Chair 1, Kimironko Corner".
    title: String,
    /// The reference, for whom, what is to be known.
    description: String,
    shop: &'a str,
    /// The shop as a URI.
    organizer: &'a str,
}

/// The calendar file of a booking, by its reference.
///
/// # Errors
/// `unknown_booking`, or when the database fails.
pub async fn file(call: &mut Call<'_>, reference: &str) -> Result<String, CallError> {
    let found = bookings::find(call, reference, "booking").await?;
    Ok(text(&entry(&found, call)))
}

fn entry<'a>(booking: &'a Booking, call: &Call<'a>) -> Entry<'a> {
    let reference = booking.reference();
    let description: Vec<String> = [Some(reference), booking.customer.clone()]
        .into_iter()
        .flatten()
        .chain(Some(booking.notes.clone()).filter(|notes| !notes.is_empty()))
        .collect();
    Entry {
        uid: &booking.ical_uid,
        sequence: booking.ical_sequence,
        cancelled: booking.status == BookingStatus::Cancelled,
        starts_at: booking.during.from,
        ends_at: booking.during.until,
        changed_at: booking.changed_at,
        title: format!("{}, {}", booking.resource, call.shop.name),
        description: description.join("\n"),
        shop: &call.shop.name,
        organizer: call.public_url,
    }
}

/// Pure.
fn text(entry: &Entry<'_>) -> String {
    let (method, status) = if entry.cancelled {
        ("CANCEL", EventStatus::Cancelled)
    } else {
        ("REQUEST", EventStatus::Confirmed)
    };
    let organizer = Property::new("ORGANIZER", entry.organizer)
        .add_parameter("CN", &plain(entry.shop))
        .done();
    let event = Event::new()
        .uid(entry.uid)
        .sequence(u32::try_from(entry.sequence).unwrap_or(0))
        .timestamp(entry.changed_at)
        .starts(entry.starts_at)
        .ends(entry.ends_at)
        .status(status)
        .summary(&entry.title)
        .description(&entry.description)
        .append_property(organizer)
        .done();
    let mut calendar = Calendar::empty();
    for (name, value) in [
        ("VERSION", "2.0"),
        ("PRODID", PRODUCT),
        ("CALSCALE", "GREGORIAN"),
        ("METHOD", method),
    ] {
        calendar.append_property(Property::new(name, value));
    }
    calendar.push(event);
    calendar.to_string()
}

/// A parameter has no way to escape a quotation mark, and a colon or comma would end it.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| {
            if matches!(c, '"' | ':' | ';' | ',') || c.is_control() {
                ' '
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry<'static> {
        Entry {
            uid: "7@countersign",
            sequence: 2,
            cancelled: false,
            starts_at: "2026-11-27T13:00:00Z".parse().unwrap(),
            ends_at: "2026-11-27T13:30:00Z".parse().unwrap(),
            changed_at: "2026-11-20T09:00:05.5Z".parse().unwrap(),
            title: "Chair 1, Kimironko; Corner".to_owned(),
            description: "BK-7\nAli\nBEGIN:VALARM".to_owned(),
            shop: "Kimironko: \"Corner\"",
            organizer: "http://127.0.0.1:8001",
        }
    }

    fn unfolded(text: &str) -> Vec<String> {
        text.replace("\r\n ", "")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_file_says_what_when_and_which_change_it_is() {
        let lines = unfolded(&text(&entry()));
        for line in [
            "BEGIN:VCALENDAR",
            "METHOD:REQUEST",
            "BEGIN:VEVENT",
            "UID:7@countersign",
            "SEQUENCE:2",
            "DTSTAMP:20261120T090005Z",
            "DTSTART:20261127T130000Z",
            "DTEND:20261127T133000Z",
            "STATUS:CONFIRMED",
            "SUMMARY:Chair 1\\, Kimironko\\; Corner",
            "DESCRIPTION:BK-7\\nAli\\nBEGIN:VALARM",
            "END:VCALENDAR",
        ] {
            assert_eq!(
                lines.iter().filter(|l| *l == line).count(),
                1,
                "{line} in {lines:#?}"
            );
        }
        let organizer = lines.iter().find(|l| l.starts_with("ORGANIZER")).unwrap();
        assert!(organizer.ends_with(":http://127.0.0.1:8001"), "{organizer}");
        assert!(!organizer.contains("Kimironko:"), "{organizer}");
        let cancelled = Entry {
            cancelled: true,
            ..entry()
        };
        let lines = unfolded(&text(&cancelled));
        assert!(lines.contains(&"METHOD:CANCEL".to_owned()));
        assert!(lines.contains(&"STATUS:CANCELLED".to_owned()));
    }

    #[test]
    fn no_line_is_longer_than_a_reader_may_expect() {
        let long = Entry {
            description: "ñandú ".repeat(200),
            ..entry()
        };
        for line in text(&long).split("\r\n") {
            assert!(line.len() <= 75, "{line}");
        }
    }
}
